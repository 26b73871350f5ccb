// KV.MGET with FORMAT safetensors.
#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "server/commands/mget/mget_data.h"
#include "server/commands/mget/mget_reply.h"
#include "store/safetensors/safetensors.h"
#include "store/safetensors/safetensors_name.h"
#include "store/tags/json_text.h"

namespace sluice::server {
namespace {

using store::DType;
using store::SafetensorsTensor;

// One tensor of the file, and the source of its bytes.
struct Part {
  SafetensorsTensor tensor;
  const ColumnPlan* plan = nullptr;
  bool shapes = false;  // true: the shapes of the plan; false: its data
};

// A dense field is one tensor. A ragged field is two: values and shapes. A padded field is two:
// dense data and shapes.
void AddParts(const ColumnPlan& plan, std::vector<Part>& parts) {
  const std::string name = store::SafetensorsName(plan.column->name.View());
  const auto rows = static_cast<std::int64_t>(plan.cells.size());
  const DType dtype = plan.column->dtype;
  Part data = {.tensor = {.name = name, .dtype = dtype, .shape = {}, .bytes = plan.bytes},
               .plan = &plan};
  if (plan.ragged) {
    parts.push_back({.tensor = {.name = name + std::string(store::kSafetensorsShapes),
                                .dtype = DType::kInt64,
                                .shape = {rows, static_cast<std::int64_t>(plan.dims.size())},
                                .bytes = ShapesBytes(plan)},
                     .plan = &plan,
                     .shapes = true});
  }
  if (plan.ragged && !plan.padded) {
    data.tensor.name += store::kSafetensorsValues;
    data.tensor.shape = {static_cast<std::int64_t>(plan.bytes / store::SizeOf(dtype))};
  } else {
    data.tensor.shape = plan.dims;
    data.tensor.shape.insert(data.tensor.shape.begin(), rows);
  }
  parts.push_back(std::move(data));
}

std::string KeysAsJson(const store::ReadResult& read) {
  std::string keys = "[";
  for (const Text& key : read.keys) {
    keys += keys.size() > 1 ? "," : "";
    store::AppendJsonString(key.View(), keys);
  }
  return keys + "]";
}

class SafetensorsReply final : public ReadReply {
 public:
  // `bytes` is the size of all parts.
  SafetensorsReply(store::ReadResult& read, std::vector<ColumnPlan> plans, std::vector<Part> parts,
                   std::string header, std::size_t bytes)
      : ReadReply(read),
        plans_(std::move(plans)),
        parts_(std::move(parts)),
        header_(std::make_unique<std::string>(std::move(header))),
        text_(*header_),
        bytes_(header_->size() + bytes) {}

 private:
  bool WriteStep(resp::Reply& reply) override {
    if (bytes_ > 0) {
      reply.BeginPayload(std::exchange(bytes_, 0));
    }
    if (header_ != nullptr) {
      if (!text_.Write(reply)) {
        header_ = nullptr;
      }
      return true;
    }
    if (part_ == parts_.size()) {
      reply.EndPayload();
      return false;
    }
    const Part& part = parts_[part_];
    if (!shapes_ && !data_) {
      part.shapes ? void(shapes_.emplace(*part.plan)) : void(data_.emplace(*part.plan));
    }
    if (!(part.shapes ? shapes_->Write(reply) : data_->Write(reply))) {
      shapes_.reset();
      data_.reset();
      ++part_;
    }
    return true;
  }

  std::vector<ColumnPlan> plans_;  // the parts point into this vector
  std::vector<Part> parts_;
  std::unique_ptr<std::string> header_;  // null once written
  TextSteps text_;
  std::size_t bytes_;  // of header and parts; 0 once the payload is begun
  std::size_t part_ = 0;
  std::optional<ShapeSteps> shapes_;  // of the current part
  std::optional<DataSteps> data_;
};

}  // namespace

Status ReplySafetensors(store::ReadResult& read, std::string_view partition,
                        const MgetOptions& options, resp::Reply& reply,
                        std::unique_ptr<LongReply>& rest) {
  const std::size_t columns = read.indexes.empty() ? 0 : read.columns.size();
  std::vector<ColumnPlan> plans;
  plans.reserve(columns);  // the parts point into this vector
  std::vector<Part> parts;
  std::vector<std::pair<std::string, std::string>> metadata = {
      {"__partition__", std::string(partition)}, {"__keys__", KeysAsJson(read)}};
  for (std::size_t c = 0; c < columns; ++c) {
    const store::ReadResult::Column& column = read.columns[c];
    TRY_ASSIGN(ColumnPlan plan,
               PlanColumn(column, {read.CellsOf(c), read.indexes.size()}, options));
    AddParts(plans.emplace_back(std::move(plan)), parts);
    if (store::IsByteString(column.dtype)) {
      metadata.emplace_back(store::SafetensorsName(column.name.View()),
                            store::NameOf(column.dtype));
    }
  }
  // Wide elements come first, so that every tensor in the file is aligned for its dtype.
  std::stable_sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return store::SizeOf(a.tensor.dtype) > store::SizeOf(b.tensor.dtype);
  });
  std::vector<SafetensorsTensor> tensors;
  std::size_t bytes = 0;
  for (const Part& part : parts) {
    tensors.push_back(part.tensor);
    bytes += part.tensor.bytes;
  }
  Produce(SafetensorsReply(read, std::move(plans), std::move(parts),
                           store::SafetensorsHeader(tensors, metadata), bytes),
          reply, rest);
  return {};
}

}  // namespace sluice::server
