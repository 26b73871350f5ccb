#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include <sys/types.h>

#include "tests/bench/net.h"

namespace sluice::bench {

// A temporary folder for sockets and logs; the destructor removes it with its contents.
class ScratchFolder {
 public:
  ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  ~ScratchFolder();

  std::string Path(const std::string& name) const { return path_ + "/" + name; }

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

  // Returns once it answers PING at `endpoint`. Throws std::runtime_error with the end of its log
  // if it exits, or has not answered within 10 s.
  void AwaitPong(const Endpoint& endpoint);

  // CPU time of all its threads so far.
  double CpuSeconds() const;

  // VmRSS.
  std::size_t ResidentBytes() const;

 private:
  [[noreturn]] void ThrowWithLog(const std::string& what) const;

  Spec spec_;
  pid_t pid_ = -1;
};

}  // namespace sluice::bench
