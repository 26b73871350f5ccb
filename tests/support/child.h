// A program that a test or a benchmark starts, and a folder for its files.
#pragma once

#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace sluice::tests {

// A temporary folder for sockets and logs; the destructor removes it with its contents.
class ScratchFolder {
 public:
  ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();

  [[nodiscard]] std::string Path(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// A running program. The destructor asks it to stop, then kills it; the kernel kills it if this
// process dies first. One caller at a time.
class Child {
 public:
  struct Spec {
    std::string name;                      // for messages
    std::vector<std::string> command;      // found by PATH, as a shell does
    std::vector<std::string> environment;  // NAME=value, added to this process's environment
    std::string log;                       // file that receives its output
  };

  // Throws std::system_error if the program cannot be started.
  explicit Child(Spec spec);
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child();

  // Returns once answers() is true. Throws std::runtime_error with the end of its log if it exits,
  // or answers() is false for 10 s.
  void AwaitStart(const std::function<bool()>& answers);

  // CPU time of all its threads so far.
  [[nodiscard]] double CpuSeconds() const;

  // VmRSS.
  [[nodiscard]] std::size_t ResidentBytes() const;

 private:
  [[noreturn]] void ThrowWithLog(const std::string& what) const;

  Spec spec_;
  pid_t pid_ = -1;
};

}  // namespace sluice::tests
