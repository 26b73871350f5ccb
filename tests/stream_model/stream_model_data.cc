// StreamModel: KV.MGET's view of rows.
#include <cstring>

#include "tests/stream_model/stream_model.h"

namespace sluice::tests {
namespace {

std::string FlatInts(const std::vector<std::int64_t>& numbers) {
  Words items;
  for (const std::int64_t number : numbers) {
    items.push_back(std::to_string(number));
  }
  return FlatList(items);
}

template <typename T>
std::string FlatNumbers(const std::string& bytes) {
  std::vector<std::int64_t> numbers;
  for (std::size_t at = 0; at < bytes.size(); at += sizeof(T)) {
    T number = 0;
    std::memcpy(&number, bytes.data() + at, sizeof(T));
    numbers.push_back(number);
  }
  return FlatInts(numbers);
}

std::string FlatValues(const std::string& field, const StreamCell& cell) {
  return field == "a"   ? FlatNumbers<std::int32_t>(cell.bytes)
         : field == "b" ? FlatNumbers<std::int8_t>(cell.bytes)
                        : FlatList({cell.bytes});
}

std::string FlatColumn(const std::string& field, const std::vector<const StreamCell*>& cells) {
  std::vector<std::int64_t> shape = {static_cast<std::int64_t>(cells.size())};
  std::vector<std::int64_t> shapes;
  std::string bytes;
  bool ragged = field == "c";
  for (const StreamCell* const cell : cells) {
    bytes += cell->bytes;
    shapes.insert(shapes.end(), cell->dims.begin(), cell->dims.end());
    ragged = ragged || cell->dims != cells[0]->dims;
  }
  if (field != "b") {
    shape.push_back(ragged ? -1 : cells[0]->dims[0]);
  }
  return FlatList({field, DtypeOf(field), FlatInts(shape), ragged ? Packed(shapes) : "nil", bytes});
}

}  // namespace

std::string StreamModel::Data(const FetchRequest& request, const Indexes& rows) const {
  const StreamPartition& partition = partitions.at(request.partition);
  Words data;
  if (request.format == "columns") {
    for (const std::string& field : rows.empty() ? Words() : request.fields) {
      std::vector<const StreamCell*> cells;
      for (const Index row : rows) {
        cells.push_back(&partition.rows.at(row).cells.at(field));
      }
      data.push_back(FlatColumn(field, cells));
    }
    return FlatList(data);
  }
  for (const Index row : rows) {
    Words fields;
    for (const std::string& field : request.fields) {
      const auto& cells = partition.rows.at(row).cells;
      if (cells.count(field) != 0 && cells.at(field).ready) {
        const StreamCell& cell = cells.at(field);
        fields.push_back(
            FlatList({field, DtypeOf(field), FlatInts(cell.dims),
                      request.format == "rows" ? cell.bytes : FlatValues(field, cell)}));
      }
    }
    data.push_back(FlatList(fields));
  }
  return FlatList(data);
}

}  // namespace sluice::tests
