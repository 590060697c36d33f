#include "base/thread_storage.h"

#include <cxxabi.h>
#include <pthread.h>

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
  if (!known.made) return true;  // the host has all keys in use: nothing can be remembered
  if (pthread_getspecific(known.key)) [[likely]]
    return true;
  // The blocks are small (variables and the linker's list of them). What is freed here is what they are taken from,
  // if no other thread comes between: of ours, none.
  static std::mutex one_at_a_time;
  std::lock_guard lock(one_at_a_time);
  constexpr size_t kRoom = 8192;
  void* room = std::malloc(kRoom);
  if (!room) return false;
  touch(room);  // or the pair would be optimised away
  std::free(room);
  touch(&t_own);
  touch(__cxxabiv1::__cxa_get_globals());
  return pthread_setspecific(known.key, &known) == 0;
}

}  // namespace gyr
