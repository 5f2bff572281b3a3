/* Preloaded by limits_test.py: from the thread REFUSE_THREADS_FROM on (1 is the first), the system gives none, as where
 * the limit of processes is reached. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

typedef int create_thread(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);

int pthread_create(pthread_t* thread, const pthread_attr_t* attributes, void* (*run)(void*), void* argument) {
  static int asked;
  const char* from = getenv("REFUSE_THREADS_FROM");
  create_thread* real = (create_thread*)dlsym(RTLD_NEXT, "pthread_create");
  if (from != NULL && __atomic_add_fetch(&asked, 1, __ATOMIC_RELAXED) >= atoi(from)) return EAGAIN;
  return real(thread, attributes, run, argument);
}
