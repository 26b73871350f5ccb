// Writes the bytes of a KV.MGET reply step by step (server/dispatch/long_reply.h).
//
// Payloads of 16 KiB and more are sent by reference; payloads that are adjacent in memory form one
// slice. Smaller payloads and padding are copied to the reply's scratch.
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

// Writes the `plan.bytes` bytes of a column's cells, as a part of a payload.
class DataSteps {
 public:
  explicit DataSteps(const ColumnPlan& plan);
  // Returns whether there is more to write.
  bool Write(resp::Reply& reply);

 private:
  // Bytes of a cell, or fill bytes if `data` is null.
  struct Part {
    const char* data = nullptr;
    std::size_t bytes = 0;
  };
  // One line along the last dim of a padded column: a part of the cell with its fill, or all fill.
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
  std::size_t cell_ = 0;             // the next cell
  Part due_;                         // not written yet: the next part may continue it
  Part now_;                         // being written
  Line line_;                        // this member and all below: padded columns only
  std::vector<std::int64_t> index_;  // index of the line in all dims but the last
  bool more_lines_ = false;          // whether this cell has more lines
  std::string_view rest_;            // remaining bytes of this cell
  std::unique_ptr<char[]> fill_;     // kFillBytes bytes of fill
};

// Writes the packed shapes of a column's cells.
class ShapeSteps {
 public:
  explicit ShapeSteps(const ColumnPlan& plan) : plan_(&plan) {}
  bool Write(resp::Reply& reply);

 private:
  const ColumnPlan* plan_;
  std::size_t cell_ = 0;
};

// Moves the pins of `read` to `reply`, so that the slices stay valid until they are sent, even if
// the rows are removed.
void HandOverPins(store::ReadResult& read, resp::Reply& reply);

// A reply made from a read result. At first it borrows the result from the command's scratch.
class ReadReply : public LongReply {
 public:
  explicit ReadReply(store::ReadResult& read) : read_(&read) {}
  // Takes ownership of the read result. Its elements keep their addresses.
  void KeepRead();
  bool Write(resp::Reply& reply) final;

 protected:
  ReadReply(ReadReply&& other) noexcept : read_(other.read_), begun_(other.begun_) {}
  // Writes one step. Returns whether there is more to write.
  virtual bool WriteStep(resp::Reply& reply) = 0;
  [[nodiscard]] const store::ReadResult& Read() const { return *read_; }

 private:
  store::ReadResult* read_;
  store::ReadResult kept_;
  bool begun_ = false;
};

// Writes a small reply completely. Of a larger one, writes the first step; `rest` writes the rest.
template <typename Producer>
void Produce(Producer producer, resp::Reply& reply, std::unique_ptr<LongReply>& rest) {
  if (producer.Write(reply)) {
    auto kept = std::make_unique<Producer>(std::move(producer));
    kept->KeepRead();
    rest = std::move(kept);
  }
}

}  // namespace sluice::server
