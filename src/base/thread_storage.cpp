#include "base/thread_storage.h"

#include <cxxabi.h>
#include <pthread.h>
#include <sched.h>

#include <cstdlib>
#include <mutex>

namespace gyr {

namespace {

thread_local char t_own = 0;

// Not a thread_local variable, which would be what is asked for: the first 32 keys of a process live in the thread.
struct Key {
  pthread_key_t key = 0;
  bool made = pthread_key_create(&key, nullptr) == 0;
};

void touch(volatile void* p) { asm volatile("" : : "r"(p) : "memory"); }

}  // namespace

bool have_thread_storage() noexcept {
  static const Key known;
  if (known.made && pthread_getspecific(known.key)) [[likely]]
    return true;
  // The blocks are small (variables and the linker's list of them). What is freed here is what they are taken from, if
  // no other thread comes between: of ours, none. In the child of a fork nobody may be left to unlock, so nobody waits
  // long.
  static std::mutex one_at_a_time;
  bool locked = one_at_a_time.try_lock();
  for (int i = 0; !locked && i < 1000; i++) {
    sched_yield();
    locked = one_at_a_time.try_lock();
  }
  constexpr size_t kRoom = 8192;
  void* room = std::malloc(kRoom);
  if (room) {
    touch(room);  // or the pair would be optimised away
    std::free(room);
    touch(&t_own);
    touch(__cxxabiv1::__cxa_get_globals());
  }
  if (locked) one_at_a_time.unlock();
  // A host that has all keys in use leaves us none to remember by.
  return room && (!known.made || pthread_setspecific(known.key, &known) == 0);
}

}  // namespace gyr
