// Stream: the streaming side of one partition: passes changes of its rows (store/) to its tasks
// (controller/). Created when a command first asks for the partition's tasks; the partition owns
// it.
//
// Thread safety: the holder of the engine lock; destroyed on any thread.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/intrusive/list_hook.hpp>

#include "controller/controller.h"
#include "store/partition/listener.h"
#include "store/partition/partition.h"

namespace sluice::controller {

class Streams;

struct TaskReport {
  TaskCounts counts;
  std::optional<std::int64_t> expected;  // rows; nullopt if the partition's terms do not say
};

class Stream final : public store::Attachment, public RowSource {
 public:
  using Hook = boost::intrusive::list_member_hook<
      boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

  // Borrows the references. Errors: std::bad_alloc.
  Stream(Streams& streams, store::Budget& budget, store::Partition& partition, std::uint64_t seed);
  ~Stream() override;

  [[nodiscard]] store::Partition& GetPartition() { return partition_; }
  [[nodiscard]] Controller& Tasks() { return controller_; }

  // Applies changed terms of the partition. Errors: std::bad_alloc; nothing changed then.
  void TakeTerms();
  // Expires leases whose time is up, of about `rows` rows at most, and serves the waiters for these
  // rows.
  void EndLeases(std::int64_t now_us, std::int64_t& rows) noexcept;
  // Returns those of `rows` that all TASKS of an AUTOEVICT partition are done with, and that are in
  // no reply being sent. Errors: std::bad_alloc.
  [[nodiscard]] std::vector<RowIndex> Evictable(std::span<const RowIndex> rows);
  // Rows of a reply that is not sent yet are not evictable: the client may never get them. Call
  // ReleaseRows() once per HoldRows(). Errors of HoldRows(): std::bad_alloc; nothing changed then.
  void HoldRows(std::span<const RowIndex> rows) { in_replies_.Hold(rows); }
  void ReleaseRows(std::span<const RowIndex> rows) noexcept {
    for (const RowIndex row : rows) {
      in_replies_.Release(row);
    }
  }
  // As Evictable(), for the next `rows_max` rows that the first of these tasks has consumed. Sets
  // EvictsLater() if there are more. Errors: std::bad_alloc.
  [[nodiscard]] std::vector<RowIndex> SomeEvictable(std::size_t rows_max);
  // Counts the rows in which the selection's fields are ready. Errors: std::bad_alloc.
  [[nodiscard]] TaskReport Report(Task& task, const Selection& selection);
  // Returns the age of the oldest row that the task has not consumed; nullopt if there is none.
  [[nodiscard]] std::optional<std::int64_t> OldestUnconsumedMs(const Task& task,
                                                               std::int64_t now_ms) const;
  // Charges the memory budget for the memory that the tasks use now.
  void Charge() noexcept;

  [[nodiscard]] bool Ready(RowIndex row, std::span<const std::size_t> fields) const override;
  void Prefetch(RowIndex row) const noexcept override { partition_.Prefetch(row, field_ids_); }
  [[nodiscard]] std::string_view TagOf(RowIndex row) const override;
  void Select(std::span<const std::size_t> fields, const std::optional<store::Where>& where,
              RowBits& rows) const override;
  std::size_t Follow(std::string_view field) override;
  [[nodiscard]] std::size_t Followed() const override { return followed_; }
  void KeepOnly(std::span<const std::size_t> positions) noexcept override;
  [[nodiscard]] std::int64_t RowsMade() const override { return partition_.RowsMade(); }
  [[nodiscard]] std::int64_t MadeMs(RowIndex row) const override;
  [[nodiscard]] std::int64_t RowsToHold() const override;

  std::vector<RowIndex> evict_after_pause;  // rows that were to be evicted during CLIENT PAUSE
  // Rows are still to be evicted: too many, or there was no memory.
  [[nodiscard]] bool EvictsLater() const { return evicts_later_; }
  void EvictLater() {
    evicts_later_ = true;
    evicts_again_ = evict_from_ != 0;
  }
  Hook in_all;      // list of all streams
  Hook in_changed;  // list of streams whose waiters are to be checked

 private:
  // The TASKS of an AUTOEVICT partition; empty for other partitions, or if not all of them exist.
  [[nodiscard]] std::vector<const Task*> EvictingTasks();
  [[nodiscard]] bool IsEvictable(std::span<const Task* const> tasks, RowIndex row) const;
  [[nodiscard]] bool AllReady(const store::Segment& segment, std::uint32_t offset,
                              std::span<const std::size_t> fields) const;
  void LookUpFields() const;

  Streams& streams_;  // not for the destructor: it may be destroyed
  store::Budget& budget_;
  store::Partition& partition_;
  Controller controller_;
  std::vector<std::string> fields_;  // by position; "": not in use
  // Their numbers in the partition, as of fields_version_; nullopt if no row has the field.
  mutable std::vector<std::optional<std::uint32_t>> field_ids_;
  mutable std::uint64_t fields_version_ = 0;
  std::size_t followed_ = 0;  // how many of fields_ are in use
  RowIndex evict_from_ = 0;   // where SomeEvictable() continues
  bool evicts_later_ = false;
  bool evicts_again_ = false;  // rows before evict_from_ may be evictable, too
  HeldRows in_replies_;        // that are not sent yet
  std::int64_t charged_ = 0;
};

}  // namespace sluice::controller
