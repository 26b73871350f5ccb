// Deadline: ends the process with a message if a test hangs in this scope. It does not wait for the
// time-out of ctest: hanging threads cannot be joined.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <string>
#include <thread>
#include <utility>

namespace sluice::tests {

class Deadline {
 public:
  // `what`: the event that did not come in time.
  explicit Deadline(std::string what, std::chrono::seconds patience = std::chrono::seconds(30))
      : what_(std::move(what)), thread_([this, patience] { Watch(patience); }) {}
  ~Deadline() {
    {
      const std::lock_guard lock(mutex_);
      met_ = true;
    }
    wake_.notify_one();
    thread_.join();
  }
  Deadline(const Deadline&) = delete;
  Deadline& operator=(const Deadline&) = delete;

 private:
  void Watch(std::chrono::seconds patience) {
    std::unique_lock lock(mutex_);
    if (!wake_.wait_for(lock, patience, [this] { return met_; })) {
      std::fprintf(stderr, "hangs: %s\n", what_.c_str());
      std::abort();
    }
  }

  std::string what_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool met_ = false;
  std::thread thread_;
};

}  // namespace sluice::tests
