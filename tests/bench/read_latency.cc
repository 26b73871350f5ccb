// Prints the time of one dependent read from memory, in ns: the next address is what the last read
// returned, so that neither the processor nor a compiler can read ahead. scripts/bench_holds.py
// states its bounds relative to this time.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <numeric>
#include <random>
#include <utility>
#include <vector>

namespace {

struct alignas(64) Line {  // one cache line
  std::uint32_t next = 0;
};

constexpr std::uint32_t kLines = std::uint32_t{1} << 22;  // 256 MiB, more than any cache
constexpr int kReads = 1'000'000;

// One cycle through all lines (Sattolo's algorithm).
std::vector<Line> MakeCycle() {
  std::vector<std::uint32_t> order(kLines);
  std::iota(order.begin(), order.end(), 0U);
  std::minstd_rand random(1);
  for (std::uint32_t i = kLines - 1; i > 0; --i) {
    std::swap(order[i], order[random() % i]);
  }
  std::vector<Line> lines(kLines);
  for (std::uint32_t i = 0; i < kLines; ++i) {
    lines[i].next = order[i];
  }
  return lines;
}

}  // namespace

int main() {
  const std::vector<Line> lines = MakeCycle();
  std::uint32_t at = 0;
  const auto begun = std::chrono::steady_clock::now();
  for (int read = 0; read < kReads; ++read) {
    at = lines[at].next;
  }
  const std::chrono::duration<double, std::nano> took = std::chrono::steady_clock::now() - begun;
  std::printf("%.0f\n", took.count() / kReads);
  return at == kLines ? 1 : 0;  // never 1; the compiler cannot leave the reads out
}
