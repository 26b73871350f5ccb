#include "tests/support/child.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <sstream>
#include <stdexcept>
#include <system_error>
#include <utility>

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

namespace sluice::tests {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kStartPatience = std::chrono::seconds(10);
constexpr auto kStopPatience = std::chrono::seconds(3);
constexpr int kLookAgainMs = 2;

std::vector<char*> Pointers(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  pointers.reserve(texts.size() + 1);
  for (std::string& text : texts) {
    pointers.push_back(text.data());
  }
  pointers.push_back(nullptr);
  return pointers;
}

// Runs between fork and exec: system calls only.
[[noreturn]] void Become(char* const* arguments, char* const* environment, const char* log) {
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
  const int output = ::open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
  if (output >= 0) {
    ::dup2(output, STDOUT_FILENO);
    ::dup2(output, STDERR_FILENO);
  }
  ::execvpe(arguments[0], arguments, environment);
  ::_exit(127);
}

[[noreturn]] void ThrowErrno(const std::string& what) {
  throw std::system_error(errno, std::generic_category(), what);
}

std::string ReadAll(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

}  // namespace

ScratchFolder::ScratchFolder()
    : path_((std::filesystem::temp_directory_path() / "sluice-test-XXXXXX").string()) {
  if (::mkdtemp(path_.data()) == nullptr) {
    ThrowErrno("mkdtemp " + path_);
  }
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

Child::Child(Spec spec) : spec_(std::move(spec)) {
  std::vector<std::string> environment = spec_.environment;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    environment.emplace_back(*entry);
  }
  const std::vector<char*> environment_pointers = Pointers(environment);
  const std::vector<char*> arguments = Pointers(spec_.command);
  pid_ = ::fork();
  if (pid_ < 0) {
    ThrowErrno("fork");
  }
  if (pid_ == 0) {
    Become(arguments.data(), environment_pointers.data(), spec_.log.c_str());
  }
}

Child::~Child() {
  if (pid_ < 0) {
    return;
  }
  ::kill(pid_, SIGTERM);
  const auto deadline = Clock::now() + kStopPatience;
  while (::waitpid(pid_, nullptr, WNOHANG) == 0) {
    if (Clock::now() > deadline) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
      return;
    }
    ::poll(nullptr, 0, kLookAgainMs);
  }
}

void Child::AwaitStart(const std::function<bool()>& answers) {
  const auto deadline = Clock::now() + kStartPatience;
  while (!answers()) {
    if (::waitpid(pid_, nullptr, WNOHANG) == pid_) {
      pid_ = -1;
      ThrowWithLog("ended at its start");
    }
    if (Clock::now() > deadline) {
      ThrowWithLog("does not answer");
    }
    ::poll(nullptr, 0, kLookAgainMs);
  }
}

double Child::CpuSeconds() const {
  const std::string stat = ReadAll(fmt::format("/proc/{}/stat", pid_));
  // Fields are counted after the name, which is in parentheses and may contain any byte.
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));
  std::string skipped;
  for (int i = 3; i < 14; ++i) {
    fields >> skipped;
  }
  double user_ticks = 0;
  double system_ticks = 0;
  fields >> user_ticks >> system_ticks;
  return (user_ticks + system_ticks) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

std::size_t Child::ResidentBytes() const {
  std::ifstream status(fmt::format("/proc/{}/status", pid_));
  std::string word;
  while (status >> word) {
    if (word == "VmRSS:") {
      std::size_t kilobytes = 0;
      status >> kilobytes;
      return kilobytes * 1024;
    }
  }
  ThrowWithLog("has no VmRSS");
}

void Child::ThrowWithLog(const std::string& what) const {
  constexpr std::size_t kLogEnd = 2000;
  const std::string log = ReadAll(spec_.log);
  const std::string end = log.substr(log.size() - std::min(log.size(), kLogEnd));
  throw std::runtime_error(fmt::format("{} {}\n{}", spec_.name, what, end));
}

}  // namespace sluice::tests
