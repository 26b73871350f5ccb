// The bytes of a KV.MGET reply, a step at a time (server/dispatch/long_reply.h).
//
// Payloads of 16 KiB and more go out by reference, neighbours in memory as one slice; what is
// smaller, and padding, is copied to the reply's scratch.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "resp/reply.h"
#include "server/commands/mget/mget_columns.h"
#include "server/dispatch/long_reply.h"
#include "server/dispatch/piecewise.h"
#include "store/partition/rows.h"

namespace sluice::server {

// The `plan.bytes` bytes of a column's cells, as a part of a payload.
class DataSteps {
 public:
  explicit DataSteps(const ColumnPlan& plan);
  // True: there is more.
  bool Write(resp::Reply& reply);

 private:
  // Bytes of a cell, or, where `data` is null, of fill.
  struct Part {
    const char* data = nullptr;
    std::size_t bytes = 0;
  };
  // Of one line along a padded column's last dim: it lies in the cell or is fill from end to end.
  struct Line {
    Part parts[3];
    int next = 3;
  };
  bool NextPart(Part& part);
  bool NextLine();
  void BeginCell();
  [[nodiscard]] bool Inside(store::Dims dims) const;
  void WriteDue(resp::Reply& reply);

  const ColumnPlan* plan_;
  bool padded_;
  std::size_t item_;
  std::size_t cell_ = 0;             // the next
  Part due_;                         // it may go on with the next part
  Part now_;                         // being written
  Line line_;                        // padded only, as all below
  std::vector<std::int64_t> index_;  // of the line: in all dims but the last
  bool more_lines_ = false;          // of this cell
  std::string_view rest_;            // of this cell
  std::unique_ptr<char[]> fill_;     // kFillBytes of it
};

// The shapes of a column's cells, packed.
class ShapeSteps {
 public:
  explicit ShapeSteps(const ColumnPlan& plan) : plan_(&plan) {}
  bool Write(resp::Reply& reply);

 private:
  const ColumnPlan* plan_;
  std::size_t cell_ = 0;
};

// The reply's slices stay valid until they are sent, whatever happens to the rows.
void HandOverPins(store::ReadResult& read, resp::Reply& reply);

// A reply made of what was read. First it borrows that from the command's scratch.
class ReadReply : public LongReply {
 public:
  explicit ReadReply(store::ReadResult& read) : read_(&read) {}
  // From now on `read` is its own; where its elements lie stays.
  void KeepRead();
  bool Write(resp::Reply& reply) final;

 protected:
  ReadReply(ReadReply&& other) noexcept : read_(other.read_), begun_(other.begun_) {}
  // One step. True: there is more.
  virtual bool WriteStep(resp::Reply& reply) = 0;
  [[nodiscard]] const store::ReadResult& Read() const { return *read_; }

 private:
  store::ReadResult* read_;
  store::ReadResult kept_;
  bool begun_ = false;
};

// Writes all of it, where that is little; else what is left becomes `rest`.
template <typename Producer>
void Produce(Producer producer, resp::Reply& reply, std::unique_ptr<LongReply>& rest) {
  if (producer.Write(reply)) {
    auto kept = std::make_unique<Producer>(std::move(producer));
    kept->KeepRead();
    rest = std::move(kept);
  }
}

}  // namespace sluice::server
