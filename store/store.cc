#include "store/store.h"

#include <utility>

#include <fmt/format.h>

#include "base/hash.h"
#include "store/recorder.h"
#include "store/store_tables.h"

namespace sluice::store {
namespace {

Status NoPartition(std::string_view name) {
  return Status(Code::kNoPartition, fmt::format("partition '{}' does not exist", name));
}

}  // namespace

Store::Store(Memory& memory, const WallClock& clock, Seeds seeds)
    : memory_(memory),
      clock_(clock),
      seeds_(seeds),
      incarnations_from_(static_cast<std::int64_t>(HashBytes("incarnation", seeds.visible) >> 12U)),
      random_(seeds.visible),
      tables_(std::make_unique<Tables>(memory, seeds.hashing)) {}

Store::~Store() {
  FlushedNames remains(memory_, seeds_.hashing);
  remains.Take(tables_->names, tables_->expired);
}

Result<Partition*> Store::FindPartition(std::string_view name) {
  const Name* const found = Find(name);
  if (found == nullptr) {
    return static_cast<Partition*>(nullptr);
  }
  if (found->partition == nullptr) {
    return WrongType();
  }
  return found->partition.get();
}

Result<Partition*> Store::FindPartitionOf(std::string_view name, const RowSet& rows) {
  TRY_ASSIGN(Partition* const found, FindPartition(name));
  if (found != nullptr) {
    TRY(found->CheckIncarnation(rows));
  }
  return found;
}

Partition* Store::PartitionFrom(std::string_view name) const {
  const auto it = tables_->partitions.lower_bound(name);
  return it == tables_->partitions.end() ? nullptr : it->second->partition.get();
}

void Store::Changed(std::string_view name) noexcept {
  ++revision_;
  for (Listener* const listener : listeners_) {
    listener->OnNameChanged(name);
  }
}

Result<Name*> Store::MakePartition(std::string_view name) {
  FindToWrite(name);  // removes an expired name before the revision is taken
  // `made` is the revision of the write that creates the partition.
  const Partition::Birth birth = {
      .made = revision_ + 1,
      .incarnation = incarnations_from_ + static_cast<std::int64_t>(revision_) + 1,
      .seed = seeds_.hashing,
      .now_ms = NowMs(),
      .listeners = &listeners_};
  return Insert(name, std::make_unique<Partition>(Text(name), memory_, birth));
}

// On failure, removes a partition that the call created.
class Store::MadePartition {
 public:
  explicit MadePartition(Store& store) : store_(store) {}
  MadePartition(const MadePartition&) = delete;
  MadePartition& operator=(const MadePartition&) = delete;
  ~MadePartition() {
    if (name_ != nullptr) {
      RemovedNames(store_.memory_).Add(store_.Unlink(*name_));
    }
  }

  // Errors: as MakePartition().
  Result<Partition*> Make(std::string_view name) {
    TRY_ASSIGN(name_, store_.MakePartition(name));
    return name_->partition.get();
  }
  void Keep() { name_ = nullptr; }

 private:
  Store& store_;
  Name* name_ = nullptr;
};

Status Store::SetTerms(std::string_view partition, PartitionTerms terms) {
  TRY_ASSIGN(Partition * found, FindPartition(partition));
  MadePartition made(*this);
  if (found == nullptr) {
    TRY_ASSIGN(found, made.Make(partition));
  }
  if (terms.ttl_ms.has_value()) {
    tables_->idlers.insert(tables_->names.Find(partition));
  }
  Record record(recorder_);
  TRY(record.Make([&](Recorder& recorder) { return recorder.OnSetTerms(partition, terms); }));
  TRY(found->SetTerms(std::move(terms)));
  record.Keep();
  made.Keep();
  Changed(partition);
  return {};
}

Status Store::Write(const WriteRequest& request, WriteResult& result) {
  result.new_rows = 0;
  result.wants = {};
  result.fields.clear();
  result.tags.clear();
  result.indexes.clear();
  result.indexes.reserve(request.rows.size());
  TRY_ASSIGN(Partition * partition, FindPartitionOf(request.partition, request.rows));
  if (partition == nullptr && request.rows.kind == RowSet::Kind::kIndexes) {
    return NoPartition(request.partition);
  }
  for (ColumnWrite& column : request.columns) {
    column.retype = column.retype || replays_;
  }
  MadePartition made(*this);
  if (partition == nullptr) {
    TRY_ASSIGN(partition, made.Make(request.partition));
  }
  Record record(recorder_);
  TRY(record.Make([&](Recorder& recorder) { return recorder.OnWrite(request); }));
  WritePlan& plan = tables_->plan;
  Status status = partition->Reserve(request, plan, result);
  if (!status.ok()) {
    result.wants = plan.Wants();
    return status;
  }
  record.Keep();
  made.Keep();
  result.incarnation = partition->Incarnation();
  partition->Apply(plan, revision_ + 1, result);
  Changed(request.partition);
  return {};
}

Status Store::Read(const ReadRequest& request, ReadResult& result) {
  result.Reset();
  TRY_ASSIGN(Partition* const partition, FindPartitionOf(request.partition, request.rows));
  return partition == nullptr ? NoPartition(request.partition) : partition->Read(request, result);
}

Status Store::Tags(std::string_view partition, const RowSet& rows, std::vector<Text>& tags) {
  tags.clear();
  TRY_ASSIGN(Partition* const found, FindPartitionOf(partition, rows));
  return found == nullptr ? NoPartition(partition) : found->Tags(rows, false, tags);
}

Status Store::TakeSnapshot(const SnapshotRequest& request, Snapshot& snapshot) {
  TRY_ASSIGN(Partition* const partition, FindPartition(request.partition));
  snapshot.revision = revision_;
  if (partition != nullptr) {
    partition->TakeSnapshot(request, snapshot);
  } else {
    snapshot.complete = false;
  }
  return {};
}

void Store::ListPartitions(std::vector<std::pair<Text, std::size_t>>& partitions) const {
  const std::int64_t now_ms = NowMs();
  for (const auto& [text, name] : tables_->partitions) {
    if (!HasExpired(*name, now_ms)) {
      partitions.emplace_back(name->name, name->partition->Rows());
    }
  }
}

Status Store::Summarize(std::string_view partition, std::vector<FieldSummary>& fields) {
  TRY_ASSIGN(const Partition* const found, FindPartition(partition));
  if (found == nullptr) {
    return NoPartition(partition);
  }
  found->Summarize(fields);
  return {};
}

Result<std::size_t> Store::FirstUnready(std::string_view partition, const RowSet& rows,
                                        std::size_t from,
                                        std::span<const std::string_view> fields) {
  TRY_ASSIGN(Partition* const found, FindPartitionOf(partition, rows));
  return found == nullptr ? from : found->FirstUnready(rows, from, fields);
}

Result<GrowingCell> Store::CellToGrow(const AppendRequest& request) {
  TRY_ASSIGN(Partition* const found, FindPartition(request.partition));
  return found == nullptr ? Result<GrowingCell>(GrowingCell()) : found->CellToGrow(request);
}

Result<Store::RemovedPartition> Store::RemovePartition(std::string_view partition) {
  TRY_ASSIGN(const Partition* const found, FindPartition(partition));
  if (found == nullptr) {
    return RemovedPartition();
  }
  auto remains = std::make_unique<RemovedNames>(memory_);
  RemovedPartition removed;
  removed.rows = static_cast<std::int64_t>(found->Rows());
  Remove(partition, *remains);
  removed.remains = std::move(remains);
  return removed;
}

Text Store::KeyOf(std::string_view partition, RowIndex index) {
  const Name* const found = Find(partition);
  const Row* const row =
      found == nullptr || found->partition == nullptr ? nullptr : found->partition->FindRow(index);
  return row == nullptr ? Text() : row->key;
}

Result<std::int64_t> Store::ClearRows(std::string_view partition, const RowSet& rows) {
  TRY_ASSIGN(Partition* const found, FindPartitionOf(partition, rows));
  if (found == nullptr) {
    return std::int64_t{0};
  }
  Record record(recorder_);
  TRY(record.Make([&](Recorder& recorder) { return recorder.OnClearRows(partition, rows); }));
  TRY_ASSIGN(const std::int64_t removed, found->ClearRows(rows, revision_ + 1));
  if (removed > 0) {
    record.Keep();
    Changed(partition);
  }
  return removed;
}

Result<std::int64_t> Store::ClearCells(std::string_view partition, const RowSet& rows,
                                       std::span<const std::string_view> fields) {
  TRY_ASSIGN(Partition* const found, FindPartitionOf(partition, rows));
  if (found == nullptr) {
    return std::int64_t{0};
  }
  Record record(recorder_);
  TRY(record.Make(
      [&](Recorder& recorder) { return recorder.OnClearCells(partition, rows, fields); }));
  TRY_ASSIGN(const std::int64_t removed, found->ClearCells(rows, fields, revision_ + 1));
  if (removed > 0) {
    record.Keep();
    Changed(partition);
  }
  return removed;
}

std::unique_ptr<DeferredDestruction> Store::Flush() {
  auto remains = std::make_unique<FlushedNames>(memory_, seeds_.hashing);
  for (Listener* const listener : listeners_) {
    listener->OnAllRemoved(*this);
    for (const auto& [text, name] : tables_->partitions) {
      listener->OnPartitionRemoved(*name->partition);
    }
  }
  tables_->partitions.clear();
  tables_->idlers.clear();
  tables_->expiries.clear();
  tables_->expiry_sum = 0;
  remains->Take(tables_->names, tables_->expired);
  ++revision_;
  if (recorder_ != nullptr) {
    recorder_->OnFlush();
  }
  return remains;
}

Revision Store::LastRevision() const {
  return revision_;
}

}  // namespace sluice::store
