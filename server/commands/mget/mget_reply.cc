// KV.MGET with FORMAT columns. The other formats: mget_rows.cc, mget_safetensors.cc.
#include "server/commands/mget/mget_reply.h"

#include <optional>
#include <utility>
#include <vector>

#include "server/commands/mget/mget_data.h"
#include "store/tensor/shape.h"

namespace sluice::server {
namespace {

using resp::Reply;
using store::ReadResult;

class ColumnsReply final : public ReadReply {
 public:
  // REQUIRES: at least one plan.
  ColumnsReply(ReadResult& read, std::vector<ColumnPlan> plans, bool dict)
      : ReadReply(read), plans_(std::move(plans)), dict_(dict) {}

 private:
  enum class Part : std::uint8_t { kHead, kShapes, kData, kPositions };

  bool WriteStep(Reply& reply) override {
    const ColumnPlan& plan = plans_[column_];
    switch (part_) {
      case Part::kHead:
        WriteHead(plan, reply);
        return true;
      case Part::kShapes:
        if (!shapes_->Write(reply)) {
          reply.EndPayload();
          BeginData(plan, reply);
        }
        return true;
      case Part::kData:
        if (data_->Write(reply)) {
          return true;
        }
        reply.EndPayload();
        if (dict_) {
          const std::string_view positions = store::AsBytes(plan.positions);
          reply.BeginPayload(positions.size());
          positions_ = TextSteps(positions);
          part_ = Part::kPositions;
          return true;
        }
        break;
      case Part::kPositions:
        if (positions_.Write(reply)) {
          return true;
        }
        reply.EndPayload();
        break;
    }
    part_ = Part::kHead;
    return ++column_ < plans_.size();
  }

  void WriteHead(const ColumnPlan& plan, Reply& reply) {
    if (column_ == 0) {
      reply.Array(plans_.size());
    }
    reply.Array(dict_ ? 6 : 5);
    reply.Bulk(plan.column->name.View());
    reply.Bulk(store::NameOf(plan.column->dtype));
    reply.Array(1 + plan.dims.size());
    reply.Integer(static_cast<std::int64_t>(plan.cells.size()));
    for (const std::int64_t dim : plan.dims) {
      reply.Integer(dim);
    }
    if (plan.ragged) {
      reply.BeginPayload(ShapesBytes(plan));
      shapes_.emplace(plan);
      part_ = Part::kShapes;
    } else {
      reply.Null();
      BeginData(plan, reply);
    }
  }
  void BeginData(const ColumnPlan& plan, Reply& reply) {
    reply.BeginPayload(plan.bytes);
    data_.emplace(plan);
    part_ = Part::kData;
  }

  std::vector<ColumnPlan> plans_;  // the steps point into this vector
  bool dict_;
  std::size_t column_ = 0;
  Part part_ = Part::kHead;
  std::optional<ShapeSteps> shapes_;
  std::optional<DataSteps> data_;
  TextSteps positions_;
};

}  // namespace

Status ReplyColumns(ReadResult& read, const MgetOptions& options, Reply& reply,
                    std::unique_ptr<LongReply>& rest) {
  const std::size_t columns = read.indexes.empty() ? 0 : read.columns.size();
  if (columns == 0) {
    reply.Array(0);
    return {};
  }
  std::vector<ColumnPlan> plans;
  plans.reserve(columns);
  for (std::size_t c = 0; c < columns; ++c) {
    TRY_ASSIGN(ColumnPlan plan,
               PlanColumn(read.columns[c], {read.CellsOf(c), read.indexes.size()}, options));
    plans.push_back(std::move(plan));
  }
  Produce(ColumnsReply(read, std::move(plans), options.dict), reply, rest);
  return {};
}

}  // namespace sluice::server
