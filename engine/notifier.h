// Notifier: notifies a connection, with or without the engine lock, that its blocked command is to
// be resumed.
//
// Thread safety: any thread; Take(): its connection's thread.
#pragma once

#include <atomic>
#include <functional>
#include <new>
#include <utility>

namespace sluice::engine {

class Notifier {
 public:
  // `call` makes the connection resume on its own thread. If `call` throws std::bad_alloc, the
  // thread's next periodic check of its connections finds the notification.
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
  // Returns true if Notify() was called since the last call.
  bool Take() noexcept { return notified_.exchange(false); }
  [[nodiscard]] bool Notified() const noexcept { return notified_.load(); }

 private:
  std::atomic<bool> notified_{false};
  std::function<void()> call_;
};

}  // namespace sluice::engine
