#include "tests/bench/machine.h"

#include <fstream>
#include <string>
#include <thread>

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

namespace sluice::bench {
namespace {

std::string CpuModel() {
  std::ifstream file("/proc/cpuinfo");
  for (std::string line; std::getline(file, line);) {
    if (line.starts_with("model name")) {
      return line.substr(line.find(": ") + 2);
    }
  }
  return "unknown CPU";
}

// The file marks the active choice: "always [madvise] never".
std::string HugePages() {
  std::ifstream file("/sys/kernel/mm/transparent_hugepage/enabled");
  std::string line;
  std::getline(file, line);
  const std::size_t begin = line.find('[');
  const std::size_t end = line.find(']');
  return end == std::string::npos ? "unknown" : line.substr(begin + 1, end - begin - 1);
}

}  // namespace

std::string DescribeMachine() {
  utsname kernel{};
  ::uname(&kernel);
  const auto pages = static_cast<double>(::sysconf(_SC_PHYS_PAGES));
  const auto page_bytes = static_cast<double>(::sysconf(_SC_PAGESIZE));
  return fmt::format("{}, {} cores, {:.0f} GiB, {} {} {}, transparent huge pages: {}", CpuModel(),
                     std::thread::hardware_concurrency(),
                     pages * page_bytes / (1024.0 * 1024.0 * 1024.0), kernel.sysname,
                     kernel.release, kernel.machine, HugePages());
}

}  // namespace sluice::bench
