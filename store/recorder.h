// Recorder: is told of each change of the store, so that it can be made again after a restart.
//
// The store records a change when it knows what the change is, before it makes it; Undo() follows
// if the change then fails. What only removes cannot fail, and is recorded as it is made.
//
// Thread safety: as Store: called by the holder of the engine lock.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "base/status.h"

namespace sluice::store {

struct PartitionTerms;
struct RowSet;
struct StringWrite;
struct WriteRequest;

class Recorder {
 public:
  // Errors of all that return a Status: those of the place that keeps the records; std::bad_alloc.
  // Nothing is recorded then, and nothing changes.
  virtual Status OnWrite(const WriteRequest& request) = 0;
  virtual Status OnSetTerms(std::string_view partition, const PartitionTerms& terms) = 0;
  virtual Status OnClearRows(std::string_view partition, const RowSet& rows) = 0;
  virtual Status OnClearCells(std::string_view partition, const RowSet& rows,
                              std::span<const std::string_view> fields) = 0;
  virtual Status OnSetStrings(std::span<const StringWrite> writes) = 0;
  // Forgets the last of the above.
  virtual void Undo() noexcept = 0;

  virtual void OnRemove(std::string_view name) noexcept = 0;
  // `expires_ms`: Unix time; kNoExpiry: never.
  virtual void OnSetExpiry(std::string_view name, std::int64_t expires_ms) noexcept = 0;
  virtual void OnFlush() noexcept = 0;

 protected:
  ~Recorder() = default;
};

// Forgets a record on destruction, unless the change was made.
class Record {
 public:
  explicit Record(Recorder* recorder) : recorder_(recorder) {}
  Record(const Record&) = delete;
  Record& operator=(const Record&) = delete;
  ~Record() {
    if (recorded_) {
      recorder_->Undo();
    }
  }

  // Calls record(recorder) if there is one. Errors: those of `record`.
  template <typename Function>
  Status Make(const Function& record) {
    TRY(recorder_ == nullptr ? Status() : record(*recorder_));
    recorded_ = recorder_ != nullptr;
    return {};
  }
  void Keep() { recorded_ = false; }

 private:
  Recorder* recorder_;
  bool recorded_ = false;
};

}  // namespace sluice::store
