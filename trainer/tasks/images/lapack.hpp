#pragma once
/// The few functions of OpenBLAS that the Frechet distance needs, by their Fortran symbols (column-major). The library
/// is opened when it is first asked for, by eval alone: as it is loaded it starts a thread for every core, and where
/// the system gives none (ulimit -u) it ends the process, whatever that wanted to do.

namespace blocktrain::trainer {

struct Lapack {
  void (*dsyev)(const char* jobz, const char* uplo, const int* n, double* a, const int* lda, double* w, double* work,
                const int* lwork, int* info);
  void (*dsyrk)(const char* uplo, const char* trans, const int* n, const int* k, const double* alpha, const double* a,
                const int* lda, const double* beta, double* c, const int* ldc);
  void (*dgemm)(const char* transa, const char* transb, const int* m, const int* n, const int* k, const double* alpha,
                const double* a, const int* lda, const double* b, const int* ldb, const double* beta, double* c,
                const int* ldc);
};

/// The functions, which compute on the calling thread alone: the order of additions must not depend on a machine's
/// cores. The first call sets OPENBLAS_NUM_THREADS, so it has to come before other threads read the environment. Throws
/// RunError where the library is not there.
const Lapack& lapack();

}  // namespace blocktrain::trainer
