// Mailbox: what other threads have for a connection: messages of PUBLISH and lines of MONITOR, and
// that it is to end. Its own I/O thread takes them between two replies, so that a push never stands
// inside one.
//
// Thread safety: any thread; Take() is its connection's.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <new>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/mutex.h"
#include "store/memory/blob.h"

namespace sluice::server {

// One message, shared by all that get it.
struct Message {
  enum class Kind : std::uint8_t { kChannel, kShard, kMonitor };
  Kind kind = Kind::kChannel;
  std::string channel;
  std::string text;  // of kMonitor: the line
  store::Blob blob;  // not null: the payload instead of text
  [[nodiscard]] std::string_view Payload() const { return blob.IsNull() ? text : blob.View(); }
};

struct Mail {
  std::shared_ptr<const Message> message;
  std::shared_ptr<const std::string> pattern;  // through which it came; null: none
};

class Mailbox {
 public:
  // `wake` as that of Connection.
  explicit Mailbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  // Where there is no memory for it, or more than `bytes_max` would wait (0: no limit), the
  // connection ends: it would miss one. A publisher is never told.
  void Put(Mail mail, std::int64_t bytes_max) noexcept {
    const auto bytes = static_cast<std::int64_t>(mail.message->Payload().size() + sizeof(Message));
    try {
      const MutexLock lock(mutex_);
      if (bytes_max != 0 && bytes_ + bytes > bytes_max) {
        overflowed_ = true;
      } else {
        mails_.push_back(std::move(mail));
        bytes_ += bytes;
      }
    } catch (const std::bad_alloc&) {
      overflowed_ = true;
    }
    Wake();
  }
  // Into `mails`, which is empty. False: there was none.
  bool Take(std::vector<Mail>& mails) noexcept {
    if (!woken_.exchange(false)) {
      return false;
    }
    const MutexLock lock(mutex_);
    mails.swap(mails_);
    bytes_ = 0;
    return !mails.empty();
  }

  // The connection is to end now.
  void Kill() noexcept {
    killed_ = true;
    Wake();
  }
  [[nodiscard]] bool Killed() const noexcept { return killed_ || overflowed_; }
  [[nodiscard]] bool Overflowed() const noexcept { return overflowed_; }
  // Something was put since Take(), or it was killed.
  [[nodiscard]] bool Woken() const noexcept { return woken_; }

 private:
  void Wake() noexcept {
    if (woken_.exchange(true)) {
      return;
    }
    try {
      wake_();
    } catch (const std::bad_alloc&) {  // the thread's next look at its connections finds it
    }
  }

  std::function<void()> wake_;
  std::atomic<bool> woken_{false};
  std::atomic<bool> killed_{false};
  std::atomic<bool> overflowed_{false};
  Mutex mutex_;
  std::vector<Mail> mails_ GUARDED_BY(mutex_);
  std::int64_t bytes_ GUARDED_BY(mutex_) = 0;
};

}  // namespace sluice::server
