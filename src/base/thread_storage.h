// What the dynamic linker allocates for a thread at its first use of a library's thread-local variables.
#pragma once

namespace gyr {

// Has this thread's variables of libgyr and libstdc++ (an exception needs some) allocated now, while a lack of memory
// can still be reported: where both came by dlopen, glibc allocates them at their first use and ends the process with
// status 127 when it cannot. False: no memory, and nothing was touched. To be called first on every thread; afterwards
// it costs two nanoseconds.
bool have_thread_storage() noexcept;

}  // namespace gyr
