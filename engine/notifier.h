// Notifier: how others, with the engine lock or without, tell a connection that its blocked command
// is to be resumed.
//
// Thread safety: any thread; Take() is its connection's.
#pragma once

#include <atomic>
#include <functional>
#include <new>
#include <utility>

namespace sluice::engine {

class Notifier {
 public:
  // `call` makes the connection resume on its own thread. It may throw std::bad_alloc: then the
  // thread's next look at its connections finds what was missed.
  explicit Notifier(std::function<void()> call) : call_(std::move(call)) {}

  void Notify() noexcept {
    if (notified_.exchange(true)) {
      return;
    }
    try {
      call_();
    } catch (const std::bad_alloc&) {
    }
  }
  // Was it notified since the last call?
  bool Take() noexcept { return notified_.exchange(false); }
  [[nodiscard]] bool Notified() const noexcept { return notified_.load(); }

 private:
  std::atomic<bool> notified_{false};
  std::function<void()> call_;
};

}  // namespace sluice::engine
