// Stream: the streaming side of one partition: tells the tasks (controller/) of its rows (store/).
// Made when a command first asks for the partition's tasks; belongs to the partition.
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
  std::optional<std::int64_t> expected;  // rows; nullopt: the partition's terms do not say
};

class Stream final : public store::Attachment, public RowSource {
 public:
  using Hook = boost::intrusive::list_member_hook<
      boost::intrusive::link_mode<boost::intrusive::auto_unlink>>;

  // Borrows both. Errors: std::bad_alloc.
  Stream(Streams& streams, store::Budget& budget, store::Partition& partition, std::uint64_t seed);
  ~Stream() override;

  [[nodiscard]] store::Partition& GetPartition() { return partition_; }
  [[nodiscard]] Controller& Tasks() { return controller_; }

  // What the partition's terms say became another. Errors: std::bad_alloc; nothing changed then.
  void TakeTerms();
  // Ends leases whose time is up, of about `rows` rows at most, and answers those that waited for
  // these.
  void EndLeases(std::int64_t now_us, std::int64_t& rows) noexcept;
  // Of `rows`, those that all tasks of an AUTOEVICT partition have consumed are to be removed.
  // Errors: std::bad_alloc.
  [[nodiscard]] std::vector<RowIndex> Evictable(std::span<const RowIndex> rows);
  // Rows on their way to a client are not evictable: it may never get them. Held and released as
  // often. Errors of HoldRows(): std::bad_alloc; nothing changed then.
  void HoldRows(std::span<const RowIndex> rows);
  void ReleaseRows(std::span<const RowIndex> rows) noexcept;
  // As Evictable(), of all rows: of the next `rows_max` that the first of these tasks has consumed.
  // Sets evicts_later where there are more. Errors: std::bad_alloc.
  [[nodiscard]] std::vector<RowIndex> SomeEvictable(std::size_t rows_max);
  // Counts the rows in which the selection's fields are ready. Errors: std::bad_alloc.
  [[nodiscard]] TaskReport Report(Task& task, const Selection& selection);
  // The age of the oldest row that the task has not consumed; nullopt if there is none.
  [[nodiscard]] std::optional<std::int64_t> OldestUnconsumedMs(const Task& task,
                                                               std::int64_t now_ms) const;
  // Charges the memory budget with what the tasks take now.
  void Charge() noexcept;

  [[nodiscard]] bool InUse() const noexcept override;

  [[nodiscard]] bool Ready(RowIndex row, std::span<const std::size_t> fields) const override;
  [[nodiscard]] std::string_view TagOf(RowIndex row) const override;
  void Select(std::span<const std::size_t> fields, const std::optional<store::Where>& where,
              RowBits& rows) const override;
  std::size_t Follow(std::string_view field) override;
  [[nodiscard]] std::size_t Followed() const override { return followed_; }
  void KeepOnly(std::span<const std::size_t> positions) noexcept override;
  [[nodiscard]] std::int64_t RowsMade() const override { return partition_.RowsMade(); }
  [[nodiscard]] std::int64_t MadeMs(RowIndex row) const override;

  bool evicts_later = false;  // rows that are to go are there still: too many, or no memory
  Hook in_all;                // of the streams
  Hook in_changed;            // those whose waiters are to be looked at

 private:
  // Of an AUTOEVICT partition's tasks; empty: of another, or not all of them are there.
  [[nodiscard]] std::vector<const RowBits*> ConsumedSets();
  [[nodiscard]] bool AllReady(const store::Segment& segment, std::uint32_t offset,
                              std::span<const std::size_t> fields) const;
  void LookUpFields() const;

  Streams& streams_;  // not in the destructor: it may be gone
  store::Budget& budget_;
  store::Partition& partition_;
  Controller controller_;
  std::vector<std::string> fields_;  // by position: those that somebody asked for; "": not in use
  // Their numbers in the partition; nullopt: no row has it. As of this version.
  mutable std::vector<std::optional<std::uint32_t>> field_ids_;
  mutable std::uint64_t fields_version_ = 0;
  std::size_t followed_ = 0;    // of fields_ that are in use
  RowIndex evict_from_ = 0;     // where SomeEvictable() goes on
  RowMap<std::uint32_t> held_;  // how many replies on their way a row is in
  std::int64_t charged_ = 0;
};

}  // namespace sluice::controller
