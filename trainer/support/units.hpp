#pragma once
/// Numbers for people: "1.25 GiB", "3.1M", "42 s".

#include <string>

namespace blocktrain::trainer {

/// Binary units: B, KiB, MiB, GiB, TiB.
std::string bytes(double n);
/// Decimal units: plain below 10,000, then k, M, G, T, P.
std::string count(double n);
/// Seconds, minutes or hours.
std::string duration(double seconds);

}  // namespace blocktrain::trainer
