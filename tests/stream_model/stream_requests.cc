#include "tests/stream_model/stream_requests.h"

#include <cstring>

namespace sluice::tests {
namespace {

void AddNumber(Words& words, const std::string& option, const std::optional<std::int64_t>& value) {
  if (value) {
    words.insert(words.end(), {option, std::to_string(*value)});
  }
}

void AddCell(Words& words, const CellWrite& cell) {
  words.insert(words.end(), {cell.field, DtypeOf(cell.field)});
  if (cell.field != "c") {
    for (const std::int64_t dim : cell.dims) {
      words.push_back(std::to_string(dim));
    }
  }
}

Words NewRows(const WriteRequest& request) {
  const std::vector<RowWrite>& rows = request.rows;
  Words words = {"KV.MPUT", request.partition, "NEW", std::to_string(rows.size())};
  AddNumber(words, "BLOCK", request.block_ms);
  if (rows[0].tag) {
    words.insert(words.end(), {"TAGS", std::to_string(rows.size())});
    for (const RowWrite& row : rows) {
      words.push_back(*row.tag);
    }
  }
  for (std::size_t c = 0; c < rows[0].cells.size(); ++c) {
    std::string bytes;
    std::vector<std::int64_t> lengths;
    for (const RowWrite& row : rows) {
      bytes += row.cells[c].bytes;
      lengths.push_back(static_cast<std::int64_t>(row.cells[c].bytes.size()));
    }
    words.push_back("COLUMN");
    AddCell(words, rows[0].cells[c]);
    if (rows[0].cells[c].field == "c") {
      words.insert(words.end(), {"SHAPES", "1", Packed(lengths)});
    }
    words.insert(words.end(), {"BLOB", bytes});
  }
  return words;
}

}  // namespace

std::string Packed(const Indexes& indexes) {
  std::string bytes(indexes.size() * 8, '\0');
  if (!indexes.empty()) {
    std::memcpy(bytes.data(), indexes.data(), bytes.size());
  }
  return bytes;
}

Indexes Unpacked(const std::string& blob) {
  Indexes indexes(blob.size() / 8);
  if (!indexes.empty()) {
    std::memcpy(indexes.data(), blob.data(), indexes.size() * 8);
  }
  return indexes;
}

std::string DtypeOf(const std::string& field) {
  return field == "a" ? "int32" : field == "b" ? "int8" : "utf8";
}

void AddList(Words& words, const Words& items) {
  words.push_back(std::to_string(items.size()));
  words.insert(words.end(), items.begin(), items.end());
}

void AddWhere(Words& words, const Where& where) {
  if (where.empty()) {
    return;
  }
  words.insert(words.end(), {"WHERE", std::to_string(where.size())});
  for (const Condition& condition : where) {
    words.insert(words.end(), {condition.name, condition.op, condition.value});
  }
}

void AddRows(Words& words, const RowList& rows) {
  if (rows.keys) {
    words.push_back("KEYS");
    AddList(words, *rows.keys);
  } else if (rows.indexes) {
    words.insert(words.end(), {"ROWS", Packed(*rows.indexes)});
  } else {
    AddWhere(words, *rows.where);
  }
}

Words WriteRequest::ToWords() const {
  if (rows[0].key.empty()) {
    return NewRows(*this);
  }
  Words words = {"KV.PUT", partition, rows[0].key};
  AddNumber(words, "BLOCK", block_ms);
  if (rows[0].tag) {
    words.insert(words.end(), {"TAG", *rows[0].tag});
  }
  for (const CellWrite& cell : rows[0].cells) {
    words.push_back("FIELD");
    AddCell(words, cell);
    words.insert(words.end(), {"BLOB", cell.bytes});
  }
  return words;
}

Words AppendRequest::ToWords() const {
  Words words = {"KV.APPEND", partition, key};
  if (more) {
    words.push_back("MORE");
  }
  words.push_back("FIELD");
  AddCell(words, cell);
  words.insert(words.end(), {"BLOB", cell.bytes});
  return words;
}

Words SamplerSpec::ToWords() const {
  Words words = {name};
  if (Fills()) {
    words.insert(words.end(), {"TOKENS", std::to_string(tokens)});
  }
  if (underfill) {
    words.push_back("UNDERFILL");
  }
  if (ranks > 1) {
    words.insert(words.end(), {"RANKS", std::to_string(ranks)});
  }
  if (Grouped()) {
    words.insert(words.end(), {"SIZE", std::to_string(size)});
    if (!by.empty()) {
      words.insert(words.end(), {"BY", by});
    }
  }
  if (!weight.empty()) {
    words.insert(words.end(), {"WEIGHT", weight});
  }
  AddNumber(words, "SEED", seed);
  return words;
}

bool FetchRequest::Wrong() const {
  return count < 1 || Least() < 1 || Least() > count ||
         (sampler.Fills() ? count < sampler.size : count % sampler.size != 0) ||
         (sampler.NeedsStep() && !step) ||
         (sampler.ranks > 1 && step->rank >= static_cast<std::int64_t>(sampler.ranks)) ||
         (lease_ms && *lease_ms < 1) || (bound && !lease_ms) || (keep && lease_ms);
}

Words FetchRequest::ToWords(const std::string& command) const {
  Words words = {command, partition, task, "FIELDS"};
  AddList(words, fields);
  words.insert(words.end(), {"COUNT", std::to_string(count)});
  if (min) {
    words.insert(words.end(), {"MIN", std::to_string(*min)});
  }
  if (sampler.name != "sequential") {
    const Words options = sampler.ToWords();
    words.push_back("SAMPLER");
    words.insert(words.end(), options.begin(), options.end());
  }
  AddWhere(words, where);
  if (step) {
    AddNumber(words, "RANK", step->rank);
    AddNumber(words, "STEP", step->step);
  }
  AddNumber(words, "BLOCK", block_ms);
  AddNumber(words, "LEASE", lease_ms);
  if (bound) {
    words.push_back("BOUND");
  }
  if (keep) {
    words.push_back("KEEP");
  }
  if (!format.empty()) {
    words.insert(words.end(), {"FORMAT", format});
  }
  return words;
}

Words ClaimRequest::ToWords() const {
  Words words = {"TASK.CLAIM", partition, task};
  AddRows(words, rows);
  words.push_back("FIELDS");
  AddList(words, fields);
  AddNumber(words, "LEASE", lease_ms);
  if (bound) {
    words.push_back("BOUND");
  }
  if (all) {
    words.push_back("ALL");
  }
  return words;
}

Words CreateRequest::ToWords() const {
  Words words = {"PARTITION.CREATE", partition};
  AddNumber(words, "EXPECT", expect);
  AddNumber(words, "MAXROWS", maxrows);
  AddNumber(words, "MAXBYTES", maxbytes);
  for (const FieldSchema& field : fields) {
    words.insert(words.end(), {"FIELD", field.name, field.dtype});
    for (const std::int64_t dim : field.dims) {
      words.push_back(std::to_string(dim));
    }
  }
  if (strict) {
    words.push_back("STRICT");
  }
  if (!tasks.empty()) {
    words.push_back("TASKS");
    AddList(words, tasks);
  }
  if (autoevict) {
    words.push_back("AUTOEVICT");
  }
  return words;
}

}  // namespace sluice::tests
