// Watchdog: ends the process with a message if no connection gets a reply for a minute, so that a
// hang of the server becomes a failure that lists what each connection waits for.
#pragma once

#include <condition_variable>
#include <mutex>
#include <thread>

#include "tests/chaos/scene.h"

namespace sluice::tests::chaos {

class Watchdog {
 public:
  explicit Watchdog(Scene& scene) : scene_(scene), thread_([this] { Run(); }) {}
  ~Watchdog();
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

 private:
  void Run();
  void Bark();

  Scene& scene_;
  std::mutex mutex_;
  std::condition_variable wake_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace sluice::tests::chaos
