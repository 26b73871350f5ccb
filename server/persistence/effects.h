// Effects: the changes of the store, as commands in RESP2. A server whose store is as this one was
// before the first of them runs them (Store::ReplayAt()) and has the same store, down to the
// revisions.
//
//   KV.MPUT, KV.APPEND, KV.PUT ... SAME   rows as the client named them, tags as it sent them
//   KV.CLEAR, PARTITION.CREATE            the latter with every option that is set
//   SET, PEXPIREAT, PERSIST, UNLINK, FLUSHALL
//
// Large values are not copied: they are references into the store's memory, which does not change.
//
// Thread safety: the holder of the engine lock; what Take() returned, any one thread.
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "resp/reply.h"
#include "store/recorder.h"

namespace sluice::server {

class Effects final : public store::Recorder {
 public:
  Effects();

  Status OnWrite(const store::WriteRequest& request) override;
  Status OnSetTerms(std::string_view partition, const store::PartitionTerms& terms) override;
  Status OnClearRows(std::string_view partition, const store::RowSet& rows) override;
  Status OnClearCells(std::string_view partition, const store::RowSet& rows,
                      std::span<const std::string_view> fields) override;
  Status OnSetStrings(std::span<const store::StringWrite> writes) override;
  void Undo() noexcept override;
  void OnRemove(std::string_view name) noexcept override;
  void OnSetExpiry(std::string_view name, std::int64_t expires_ms) noexcept override;
  void OnFlush() noexcept override;

  // True if a removal could not be recorded, for lack of memory: from here on the commands do not
  // make the same store.
  [[nodiscard]] bool HasGap() const { return gap_; }
  // Returns what was recorded since the last call, as pending output. Errors: std::bad_alloc;
  // nothing changed then.
  [[nodiscard]] std::unique_ptr<resp::Reply> Take();

 private:
  // Calls add(reply), which appends commands. Errors: std::bad_alloc; nothing is recorded then.
  template <typename Function>
  Status Add(const Function& add);
  template <typename Function>
  void AddRemoval(const Function& add) noexcept;

  std::unique_ptr<resp::Reply> commands_;
  resp::Reply::Mark mark_;  // where the last change begins
  bool gap_ = false;
};

}  // namespace sluice::server
