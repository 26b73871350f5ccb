#include "server/persistence/effects.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <functional>
#include <new>
#include <string>
#include <utility>

#include "store/partition/partition_terms.h"
#include "store/partition/rows.h"
#include "store/store.h"

namespace sluice::server {
namespace {

using resp::Reply;
using store::ColumnSource;
using store::ColumnWrite;
using store::RowSet;

// Appends the words of one command.
class Words {
 public:
  explicit Words(Reply& reply) : reply_(reply) {}

  Words& Text(std::string_view text) {
    reply_.Bulk(text);
    return *this;
  }
  Words& Number(std::int64_t value) {
    std::array<char, 24> digits = {};
    const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), value).ptr;
    return Text({digits.data(), static_cast<std::size_t>(end - digits.data())});
  }
  Words& Numbers(std::span<const std::int64_t> values) {  // packed
    return Text({reinterpret_cast<const char*>(values.data()), values.size_bytes()});
  }
  // `bytes` lie in memory that `pin` keeps.
  Words& Payload(std::string_view bytes, resp::Pin pin) {
    reply_.BeginPayload(bytes.size());
    reply_.Reference(bytes);
    reply_.Hold(std::move(pin));
    reply_.EndPayload();
    return *this;
  }

 private:
  Reply& reply_;
};

// A list without line breaks is one word, since the number of words of a request is limited.
bool HasLines(std::span<const std::string_view> words) {
  return std::none_of(words.begin(), words.end(), [](std::string_view word) {
    return word.find('\n') != std::string_view::npos;
  });
}

std::string Join(std::span<const std::string_view> words) {
  std::string lines;
  for (const std::string_view word : words) {
    lines.append(word).push_back('\n');
  }
  lines.pop_back();
  return lines;
}

// `<option> LINES <lines>`, or `<option> <n> <word> ...`.
std::size_t ListWords(std::span<const std::string_view> words) {
  return HasLines(words) ? 3 : 2 + words.size();
}

void AddList(Words& out, std::string_view option, std::span<const std::string_view> words) {
  out.Text(option);
  if (HasLines(words)) {
    out.Text("LINES").Text(Join(words));
    return;
  }
  out.Number(static_cast<std::int64_t>(words.size()));
  for (const std::string_view word : words) {
    out.Text(word);
  }
}

std::size_t RowsWords(const RowSet& rows) {
  return rows.kind == RowSet::Kind::kKeys ? ListWords(rows.keys) : 2;
}

void AddRows(Words& out, const RowSet& rows) {
  switch (rows.kind) {
    case RowSet::Kind::kKeys:
      AddList(out, "KEYS", rows.keys);
      break;
    case RowSet::Kind::kIndexes:
      out.Text("ROWS").Numbers(rows.indexes);
      break;
    case RowSet::Kind::kNew:
      out.Text("NEW").Number(rows.count);
  }
}

// The values of a column.
void AddPayload(Words& out, const ColumnWrite& column) {
  const std::size_t bytes = column.source.bytes.size();
  out.Text("BLOB");
  if (!column.chunk || bytes == 0) {
    out.Text(column.source.bytes);
    return;
  }
  out.Payload({column.chunk->BytesOf(0).data(), bytes},
              resp::Pin(store::ChunkRef(column.chunk).detach(), store::Chunk::ReleasePin));
}

bool HasShapes(const ColumnSource& source) {
  return source.ragged || (store::IsByteString(source.dtype) && source.rank == 1);
}

std::size_t ColumnWords(const ColumnWrite& column) {
  return 5 + (HasShapes(column.source) ? 3 : column.source.rank) + (column.dict.empty() ? 0 : 2);
}

// `COLUMN <name> <dtype> [<dim> ...] | SHAPES <rank> <blob>, [DICT <blob>] BLOB <bytes>`.
void AddColumn(Words& out, const ColumnWrite& column) {
  const ColumnSource& source = column.source;
  out.Text("COLUMN").Text(source.field).Text(store::NameOf(source.dtype));
  if (source.ragged) {
    out.Text("SHAPES").Number(static_cast<std::int64_t>(source.rank)).Numbers(source.dims);
  } else if (HasShapes(source)) {
    const std::vector<std::int64_t> lengths(source.slots, source.dims[0]);
    out.Text("SHAPES").Number(1).Numbers(lengths);
  } else {
    for (const std::int64_t dim : source.dims.first(source.rank)) {
      out.Number(dim);
    }
  }
  if (!column.dict.empty()) {
    out.Text("DICT").Numbers(column.dict);
  }
  AddPayload(out, column);
}

// KV.APPEND <partition> <key> [MORE] FIELD <name> <dtype> [<dim> ...] BLOB <bytes>
void AddAppend(Reply& reply, const store::WriteRequest& request, const ColumnWrite& column) {
  const ColumnSource& added = *column.appended;
  const std::size_t rank = store::IsByteString(added.dtype) ? 0 : added.rank;
  reply.Array(8 + rank + (column.pending ? 1 : 0));
  Words out(reply);
  out.Text("KV.APPEND").Text(request.partition).Text(request.rows.keys[0]);
  if (column.pending) {
    out.Text("MORE");
  }
  out.Text("FIELD").Text(added.field).Text(store::NameOf(added.dtype));
  for (const std::int64_t dim : added.dims.first(rank)) {
    out.Number(dim);
  }
  out.Text("BLOB");
  if (added.blob.IsNull() || added.bytes.empty()) {
    out.Text(added.bytes);
  } else {
    out.Payload(added.bytes, resp::Pin(store::Blob(added.blob).Detach(), store::Blob::ReleasePin));
  }
}

bool HasSame(std::span<const ColumnWrite> columns) {
  return std::any_of(columns.begin(), columns.end(),
                     [](const ColumnWrite& column) { return column.same; });
}

// KV.PUT <partition> <key> [TAG <json>] [FIELD <name> SAME <key> | ...]...
void AddPut(Reply& reply, const store::WriteRequest& request) {
  std::size_t words = 3 + (request.tags.empty() ? 0 : 2);
  for (const ColumnWrite& column : request.columns) {
    words +=
        column.same ? 4 : 5 + (store::IsByteString(column.source.dtype) ? 0 : column.source.rank);
  }
  reply.Array(words);
  Words out(reply);
  out.Text("KV.PUT").Text(request.partition).Text(request.rows.keys[0]);
  if (!request.tags.empty()) {
    out.Text("TAG").Text(request.tags[0].patch);
  }
  for (const ColumnWrite& column : request.columns) {
    const ColumnSource& source = column.source;
    out.Text("FIELD").Text(source.field);
    if (column.same) {
      out.Text("SAME").Text(column.same_key);
      continue;
    }
    out.Text(store::NameOf(source.dtype));
    for (std::size_t i = 0; i < source.rank && !store::IsByteString(source.dtype); ++i) {
      out.Number(source.dims[i]);
    }
    AddPayload(out, column);
  }
}

// KV.MPUT <partition> <rows> [TAGS <list>] [COLUMN ...]...
void AddMPut(Reply& reply, const store::WriteRequest& request) {
  std::vector<std::string_view> patches;
  for (const store::TagWrite& tag : request.tags) {
    patches.push_back(tag.patch);
  }
  std::size_t words = 2 + RowsWords(request.rows) + (patches.empty() ? 0 : ListWords(patches));
  for (const ColumnWrite& column : request.columns) {
    words += ColumnWords(column);
  }
  reply.Array(words);
  Words out(reply);
  out.Text("KV.MPUT").Text(request.partition);
  AddRows(out, request.rows);
  if (!patches.empty()) {
    AddList(out, "TAGS", patches);
  }
  for (const ColumnWrite& column : request.columns) {
    AddColumn(out, column);
  }
}

// SET <key> <value> [PXAT <ms> | KEEPTTL]. That the value was edited (OBJECT ENCODING) is
// forgotten, as Redis does when it restarts.
void AddString(Reply& reply, const store::StringWrite& write) {
  const bool keep = write.expires_ms == store::StringWrite::kKeepExpiry;
  const bool expires = !keep && write.expires_ms != store::kNoExpiry;
  reply.Array(3 + (keep ? 1 : 0) + (expires ? 2 : 0));
  Words out(reply);
  out.Text("SET").Text(write.key);
  if (write.value.blob.IsNull()) {
    out.Text(write.value.View());
  } else {
    out.Payload(write.value.View(),
                resp::Pin(store::Blob(write.value.blob).Detach(), store::Blob::ReleasePin));
  }
  if (keep) {
    out.Text("KEEPTTL");
  } else if (expires) {
    out.Text("PXAT").Number(write.expires_ms);
  }
}

// PARTITION.CREATE, with every option that is set.
void AddTerms(Reply& reply, std::string_view partition, const store::PartitionTerms& terms) {
  const std::pair<std::string_view, const std::optional<std::int64_t>&> limits[] = {
      {"EXPECT", terms.expect},
      {"MAXROWS", terms.rows_max},
      {"MAXBYTES", terms.bytes_max},
      {"TTL", terms.ttl_ms}};
  const std::vector<std::string_view> tasks(terms.tasks.begin(), terms.tasks.end());
  std::size_t words = 2 + (terms.strict ? 1 : 0) + (terms.autoevict ? 1 : 0) +
                      (tasks.empty() ? 0 : ListWords(tasks));
  for (const auto& [name, limit] : limits) {
    words += limit ? 2 : 0;
  }
  for (const store::FieldTerms& field : terms.fields) {
    words += 3 + field.dims.size();
  }
  reply.Array(words);
  Words out(reply);
  out.Text("PARTITION.CREATE").Text(partition);
  for (const auto& [name, limit] : limits) {
    if (limit) {
      out.Text(name).Number(*limit);
    }
  }
  for (const store::FieldTerms& field : terms.fields) {
    out.Text("FIELD").Text(field.name).Text(store::NameOf(field.dtype));
    for (const std::int64_t dim : field.dims) {
      out.Number(dim);
    }
  }
  if (!tasks.empty()) {
    AddList(out, "TASKS", tasks);
  }
  if (terms.strict) {
    out.Text("STRICT");
  }
  if (terms.autoevict) {
    out.Text("AUTOEVICT");
  }
}

}  // namespace

Effects::Effects() : commands_(std::make_unique<Reply>()) {}

std::unique_ptr<Reply> Effects::Take() {
  auto next = std::make_unique<Reply>();
  mark_ = {};
  return std::exchange(commands_, std::move(next));
}

template <typename Function>
Status Effects::Add(const Function& add) {
  mark_ = commands_->Prepare();
  try {
    add(*commands_);
  } catch (...) {
    Undo();
    throw;
  }
  return {};
}

template <typename Function>
void Effects::AddRemoval(const Function& add) noexcept {
  try {
    static_cast<void>(Add(add));
  } catch (const std::bad_alloc&) {
    gap_ = true;
  }
}

Status Effects::OnWrite(const store::WriteRequest& request) {
  return Add([&](Reply& reply) {
    if (request.columns.size() == 1 && request.columns[0].appended != nullptr) {
      AddAppend(reply, request, request.columns[0]);
    } else if (HasSame(request.columns)) {
      AddPut(reply, request);
    } else {
      AddMPut(reply, request);
    }
  });
}

Status Effects::OnSetTerms(std::string_view partition, const store::PartitionTerms& terms) {
  return Add([&](Reply& reply) { AddTerms(reply, partition, terms); });
}

Status Effects::OnClearRows(std::string_view partition, const RowSet& rows) {
  return OnClearCells(partition, rows, {});
}

Status Effects::OnClearCells(std::string_view partition, const RowSet& rows,
                             std::span<const std::string_view> fields) {
  return Add([&](Reply& reply) {
    reply.Array(2 + RowsWords(rows) + (fields.empty() ? 0 : ListWords(fields)));
    Words out(reply);
    out.Text("KV.CLEAR").Text(partition);
    AddRows(out, rows);
    if (!fields.empty()) {
      AddList(out, "FIELDS", fields);
    }
  });
}

Status Effects::OnSetStrings(std::span<const store::StringWrite> writes) {
  return Add([&](Reply& reply) {
    for (const store::StringWrite& write : writes) {
      AddString(reply, write);
    }
  });
}

void Effects::Undo() noexcept {
  commands_->Rewind(mark_);
}

void Effects::OnRemove(std::string_view name) noexcept {
  AddRemoval([&](Reply& reply) {
    reply.Array(2);
    Words(reply).Text("UNLINK").Text(name);
  });
}

void Effects::OnSetExpiry(std::string_view name, std::int64_t expires_ms) noexcept {
  AddRemoval([&](Reply& reply) {
    const bool expires = expires_ms != store::kNoExpiry;
    reply.Array(expires ? 3 : 2);
    Words out(reply);
    out.Text(expires ? "PEXPIREAT" : "PERSIST").Text(name);
    if (expires) {
      out.Number(expires_ms);
    }
  });
}

void Effects::OnFlush() noexcept {
  AddRemoval([](Reply& reply) {
    reply.Array(1);
    Words(reply).Text("FLUSHALL");
  });
}

}  // namespace sluice::server
