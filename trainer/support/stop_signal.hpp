#pragma once
/// The signals that ask a program to end ask a run to save and end with exit code 75: SIGUSR1 and SIGUSR2 (batch
/// systems, before the time is up), SIGTERM, SIGINT (Ctrl-C), SIGHUP (the terminal is closed; not where nohup ignores
/// it) and SIGXCPU (ulimit -t). The handler only raises a flag; the training loop looks at it between steps.

namespace blocktrain::trainer {

/// Exit code of a run that was interrupted and saved: resume it (sysexits' EX_TEMPFAIL).
inline constexpr int exit_interrupted = 75;

/// Installs the handlers. Call once, before threads start.
void install_stop_signals();
/// True once a signal, or request_stop(), has asked the run to save and end.
bool stop_requested() noexcept;
/// The same request from inside the program (a budget that is spent, a test).
void request_stop() noexcept;
/// Forgets the request; for tests that run several trainings in one process.
void clear_stop_request() noexcept;

}  // namespace blocktrain::trainer
