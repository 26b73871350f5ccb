#include "server/persistence/journal.h"

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>
#include <vector>

#include <fmt/format.h>

namespace sluice::server {
namespace {

using std::chrono::seconds;

constexpr std::uint64_t kReserveBytes = std::uint64_t{4} << 20;  // at once
constexpr seconds kSyncEvery(1);
constexpr seconds kRetryEvery(1);

// Returns the number of a log; nullopt for another file.
std::optional<std::uint64_t> NumberOf(std::string_view name) {
  constexpr std::string_view kPrefix = "log-";
  std::uint64_t number = 0;
  const char* const end = name.data() + name.size();
  if (!name.starts_with(kPrefix) ||
      std::from_chars(name.data() + kPrefix.size(), end, number).ptr != end ||
      LogName(number) != name) {
    return std::nullopt;
  }
  return number;
}

// Reads the logs of a folder, one after another.
class Logs {
 public:
  Logs(Folder& folder, const ApplyFrame& apply, Journal::Recovery& recovery)
      : folder_(folder), apply_(apply), recovery_(recovery) {}

  // Returns where a new log begins.
  Result<LogStart> ReadAll() {
    TRY_ASSIGN(const std::vector<std::string> names, folder_.Names());
    for (const std::string& name : names) {
      const std::optional<std::uint64_t> number = NumberOf(name);
      TRY(number ? Read(name, *number) : Status());
    }
    return next_;
  }

 private:
  Status Read(const std::string& name, std::uint64_t number) {
    TRY_ASSIGN(File file, folder_.Open(name, FileSystem::Mode::kWrite));
    TRY_ASSIGN(const std::optional<LogStart> start, ReadLogStart(file));
    if (!start) {  // it was still being created
      next_.number = number + 1;
      return {};
    }
    if (start->number != number) {
      return Status(Code::kError, fmt::format("{}: this is log {}", file.Path(), start->number));
    }
    if (any_ && start->first != next_.first) {
      return Status(Code::kError,
                    fmt::format("{}: begins with frame {}, expected {}: a log is missing",
                                file.Path(), start->first, next_.first));
    }
    TRY_ASSIGN(const LogEnd end, ReadLog(file, *start, apply_));
    if (end.torn_bytes > 0) {
      TRY(file.Truncate(end.bytes));
    }
    any_ = true;
    recovery_.frames += end.last + 1 - start->first;
    recovery_.torn_bytes += end.torn_bytes;
    next_ = {.number = number + 1, .first = end.last + 1};
    return {};
  }

  Folder& folder_;
  const ApplyFrame& apply_;
  Journal::Recovery& recovery_;
  LogStart next_;
  bool any_ = false;
};

}  // namespace

Result<std::unique_ptr<Journal>> Journal::Open(Folder folder, const ApplyFrame& apply,
                                               Options options, Recovery& recovery) {
  TRY_ASSIGN(LogStart start, Logs(folder, apply, recovery).ReadAll());
  start.salt = options.salt;
  TRY_ASSIGN(LogWriter log, LogWriter::Create(folder, start));
  std::unique_ptr<Journal> journal(new Journal(std::move(log), std::move(options)));
  journal->thread_ = std::thread([&journal = *journal] { journal.Run(); });
  return journal;
}

Journal::Journal(LogWriter log, Options options)
    : options_(std::move(options)),
      log_(std::move(log)),
      file_bytes_(log_.Bytes()),
      last_(log_.Written()),
      written_(log_.Written()),
      synced_(log_.Synced()) {}

Journal::~Journal() {
  {
    const MutexLock lock(mutex_);
    ends_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

// Space is reserved in large pieces, so that a command seldom waits for it, and so that most syncs
// need not write the size of the file.
Status Journal::Ready(std::uint64_t payload_bytes) {
  const MutexLock lock(mutex_);
  TRY(ready_);
  const std::uint64_t needed = file_bytes_ + LogFrames::BytesOf(payload_bytes);
  if (needed <= reserved_bytes_) {
    return {};
  }
  const std::uint64_t ample = (needed / kReserveBytes + 1) * kReserveBytes;
  if (log_.Reserve(ample).ok()) {
    reserved_bytes_ = ample;
    return {};
  }
  TRY(log_.Reserve(needed));  // the last space of a disk that is nearly full
  reserved_bytes_ = needed;
  return {};
}

Sequence Journal::Add(std::string_view payload) {
  Sequence sequence = 0;
  {
    const MutexLock lock(mutex_);
    added_.Add(payload);
    file_bytes_ += LogFrames::BytesOf(payload.size());
    sequence = ++last_;
  }
  changed_.notify_all();
  return sequence;
}

Sequence Journal::Synced() const {
  const MutexLock lock(mutex_);
  return synced_;
}

Status Journal::Flush() {
  MutexLock lock(mutex_);
  const Sequence wanted = last_;
  ++flushes_;
  changed_.notify_all();
  while (synced_ < wanted && ready_.ok()) {
    changed_.wait(lock);
  }
  --flushes_;
  return synced_ < wanted ? ready_ : Status();
}

Journal::Due Journal::WhatIsDue(Time now) const {
  Due due;
  if (failed_) {
    return due;
  }
  const bool now_or_never = ends_ || flushes_ > 0;
  if (written_ < last_) {
    due.write = now >= retry_ || ends_;
    due.next = retry_;
  }
  const bool unsynced = synced_ < (due.write ? last_ : written_);
  switch (options_.fsync) {
    case AppendFsync::kAlways:
      due.sync = unsynced;
      break;
    case AppendFsync::kEverySec:
      due.sync = unsynced && (now_or_never || now >= last_sync_ + kSyncEvery);
      if (unsynced && !due.sync) {
        due.next = std::min(due.next, last_sync_ + kSyncEvery);
      }
      break;
    case AppendFsync::kNo:
      due.sync = unsynced && now_or_never;
  }
  return due;
}

void Journal::Run() {
  MutexLock lock(mutex_);
  for (;;) {
    const Time now = std::chrono::steady_clock::now();
    const Due due = WhatIsDue(now);
    if (due.write || due.sync) {
      lock.unlock();
      Work(due);
      lock.lock();
    } else if (ends_) {
      return;
    } else if (due.next == Time::max()) {
      changed_.wait(lock);
    } else {
      changed_.wait_until(lock, due.next);
    }
    if (ends_ && !ready_.ok()) {
      return;  // what is left cannot be written
    }
  }
}

// Writes and syncs without the mutex: others add frames meanwhile, for the next time.
void Journal::Work(const Due& due) {
  if (due.write && batch_.Empty()) {
    const MutexLock lock(mutex_);
    batch_.Swap(added_);
  }
  Status status = due.write ? log_.Write(batch_) : Status();
  const bool synced = status.ok() && due.sync;
  const Status sync_status = synced ? log_.Sync() : Status();
  {
    const MutexLock lock(mutex_);
    failed_ = !sync_status.ok();
    ready_ = failed_ ? sync_status : status;
    const Time now = std::chrono::steady_clock::now();
    retry_ = status.ok() ? Time() : now + kRetryEvery;
    last_sync_ = synced ? now : last_sync_;
    written_ = log_.Written();
    synced_ = log_.Synced();
  }
  changed_.notify_all();
  if (synced && options_.listener) {
    options_.listener();
  }
}

}  // namespace sluice::server
