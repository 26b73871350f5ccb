// Mailbox: what other threads send to a connection: messages of PUBLISH, lines of MONITOR, and the
// request to close. Its I/O thread takes them between two replies, so that a push is never inside a
// reply.
//
// Thread safety: any thread; Take(): the connection's I/O thread.
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

// One message, shared by all its receivers.
struct Message {
  enum class Kind : std::uint8_t { kChannel, kShard, kMonitor };
  Kind kind = Kind::kChannel;
  std::string channel;
  std::string text;  // kMonitor: the line
  store::Blob blob;  // if not null, the payload instead of `text`
  [[nodiscard]] std::string_view Payload() const { return blob.IsNull() ? text : blob.View(); }
};

struct Mail {
  std::shared_ptr<const Message> message;
  std::shared_ptr<const std::string> pattern;  // the pattern that matched; null if none
};

class Mailbox {
 public:
  // `wake`: see Connection.
  explicit Mailbox(std::function<void()> wake) : wake_(std::move(wake)) {}

  // If there is no memory, or more than `bytes_max` would wait (0: no limit), the connection is
  // closed, since it would miss a message. The publisher gets no error.
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
  // Moves all mails into `mails`, which must be empty. Returns false if there were none.
  bool Take(std::vector<Mail>& mails) noexcept {
    if (!woken_.load() || !woken_.exchange(false)) {  // each request looks: mostly a load
      return false;
    }
    const MutexLock lock(mutex_);
    mails.swap(mails_);
    bytes_ = 0;
    return !mails.empty();
  }

  // Closes the connection.
  void Kill() noexcept {
    killed_ = true;
    Wake();
  }
  [[nodiscard]] bool Killed() const noexcept { return killed_ || overflowed_; }
  [[nodiscard]] bool Overflowed() const noexcept { return overflowed_; }
  // Returns true if there was a Put() or Kill() since the last Take().
  [[nodiscard]] bool Woken() const noexcept { return woken_; }

 private:
  void Wake() noexcept {
    if (woken_.exchange(true)) {
      return;
    }
    try {
      wake_();
    } catch (const std::bad_alloc&) {  // the thread's next check of its connections finds it
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
