// libgyr.so is made of the objects of gyr_objects; CMake wants one source all the same.
