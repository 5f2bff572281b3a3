// A stand-in for libnvidia-ml.so.1, to be opened as a file: one board whose counter moves at every look. With
// FAKE_NVML_OLD it is of a driver from before the counter.

extern "C" {

int nvmlInit_v2() { return 0; }
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int) { return "some error"; }

static int give(const char* text, char* to, unsigned size) {
  unsigned i = 0;
  for (; text[i] != 0 && i + 1 < size; ++i) to[i] = text[i];
  to[i] = 0;
  return 0;
}

struct Process {
  unsigned pid;
  unsigned long long used;
  unsigned gpu_instance, compute_instance;
};

static int board = 0;

int nvmlSystemGetDriverVersion(char* text, unsigned size) { return give("1.2.3", text, size); }
int nvmlDeviceGetCount_v2(unsigned* count) { return *count = 1, 0; }
int nvmlDeviceGetHandleByIndex_v2(unsigned, void** device) { return *device = &board, 0; }
int nvmlDeviceGetHandleByUUID(const char*, void** device) { return *device = &board, 0; }
int nvmlDeviceGetUUID(void*, char* text, unsigned size) { return give("GPU-from-a-file", text, size); }
int nvmlDeviceGetName(void*, char* text, unsigned size) { return give("Board of a file", text, size); }
#ifndef FAKE_NVML_OLD
int nvmlDeviceGetTotalEnergyConsumption(void*, unsigned long long* millijoules) {
  static unsigned long long counted = 1000;
  return *millijoules = ++counted, 0;
}
int nvmlDeviceGetComputeRunningProcesses_v2(void*, unsigned* count, Process* processes) {
  if (*count < 2) return *count = 2, 7;
  processes[0] = {1, 10, 0, 0};
  processes[1] = {2, 1ull << 40, 0, 0};
  return *count = 2, 0;
}
#endif
}
