// Worker: the requests that it starts on an idle connection.
#include <algorithm>
#include <cstring>
#include <utility>

#include "tests/chaos/worker.h"

namespace sluice::tests::chaos {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr seconds kPatience{60};  // beyond the longest wait of a command

}  // namespace

void Worker::Begin(Link& link, Clock::time_point now) {
  const std::size_t kind = plan_.Pick(100);
  if (kind < 35) {
    OwnCommand(link);
  } else if (kind < 40) {
    ReadMuch(link, now);
  } else if (kind < 50) {
    Transaction(link);
  } else {
    for (std::size_t left = 1 + (plan_.Chance(20) ? plan_.Pick(20) : plan_.Pick(2)); left > 0;
         --left) {
      Send(link, plan_.Any());
    }
    if (plan_.Chance(5)) {
      link.ReadLaterThan(now + milliseconds(plan_.Pick(300)));
    }
  }
}

// A reply is due at the latest when the replies before it have come.
void Worker::Send(Link& link, const Request& request, Asked asked) {
  constexpr auto kNever = Clock::time_point::max();
  asked.due = Clock::now() + kPatience;
  if (!link.Waiting().empty()) {
    asked.due = std::max(asked.due, link.Waiting().back().due);
  }
  const std::int64_t block_ms = request.block_ms.value_or(1);
  asked.due = block_ms == 0 || asked.due == kNever ? kNever : asked.due + milliseconds(block_ms);
  asked.write = request.write;
  asked.flush = request.flush;
  asked.partition = request.partition;
  asked.task = request.task;
  link.Send(request.words, std::move(asked));
}

void Worker::Operate() {
  if (operator_ == nullptr) {
    Connect(operator_, SIZE_MAX);
  }
  // Several together: a waiter woken by one finds the changes of the next.
  for (std::size_t left = 1 + plan_.Pick(3); left > 0; --left) {
    const Request request = plan_.Operator();
    scene_.flushes_begun += request.flush ? 1 : 0;
    Send(*operator_, request);
  }
}

// Fetches may wait forever for rows. A write needs no help once there is memory.
void Worker::UnblockFetches() {
  for (const LinkPtr& link : links_) {
    const bool waits = link != nullptr && !link->Waiting().empty();
    if (waits && operator_ != nullptr && !link->Waiting().front().write) {
      Send(*operator_, {.words = {"CLIENT", "UNBLOCK", std::to_string(scene_.victims[link->Slot()]),
                                  plan_.Chance(50) ? "TIMEOUT" : "ERROR"}});
    }
  }
}

Request Worker::OwnWrite(std::size_t row, int sequence) {
  const std::int64_t ms = plan_.BlockMs();
  return {
      .words = {ledger_.Grows(row) ? "KV.APPEND" : "KV.PUT", kKept, ledger_.Key(row), "BLOCK",
                std::to_string(ms), "FIELD", "x", "bytes", "BLOB", ledger_.Bytes(row, sequence)},
      .block_ms = ms,
      .write = true};
}

void Worker::OwnCommand(Link& link) {
  for (std::size_t left = 1 + plan_.Pick(3); left > 0; --left) {
    const auto row = ledger_.Find(plan_.Pick(1U << 20U));
    if (!row) {
      continue;
    }
    const bool retired = ledger_.Retired(*row);
    const std::size_t kind = plan_.Pick(100);
    if (kind < 15 || (retired && ledger_.Grows(*row))) {
      Read(link, {*row});
    } else if (kind < 30 || retired) {
      Send(link, {.words = {"KV.CLEAR", kKept, "KEYS", "1", ledger_.Key(*row)}},
           {.promises = {ledger_.Begin(*row, Promise::Kind::kClear)}});
    } else if (kind < 45) {
      OwnPuts(link);
    } else {
      const Promise promise = ledger_.Begin(*row, Promise::Kind::kWrite);
      Send(link, OwnWrite(*row, promise.sequence), {.promises = {promise}});
    }
  }
}

// KV.MPUT of several rows.
void Worker::OwnPuts(Link& link) {
  std::vector<Promise> promises;
  Words keys;
  std::string lengths;
  std::string bytes;
  for (int tries = 0; tries < 4; ++tries) {
    const auto row = ledger_.Find(plan_.Pick(1U << 20U));
    if (!row || ledger_.Retired(*row) || ledger_.Grows(*row)) {
      continue;
    }
    promises.push_back(ledger_.Begin(*row, Promise::Kind::kWrite));
    keys.push_back(ledger_.Key(*row));
    const std::string value = ledger_.Bytes(*row, promises.back().sequence);
    const auto length = static_cast<std::int64_t>(value.size());
    lengths.append(reinterpret_cast<const char*>(&length), sizeof(length));
    bytes += value;
  }
  if (keys.empty()) {
    return;
  }
  const std::int64_t ms = plan_.BlockMs();
  Words words = {"KV.MPUT", kKept, "KEYS", std::to_string(keys.size())};
  words.insert(words.end(), keys.begin(), keys.end());
  const Words column = {
      "BLOCK", std::to_string(ms), "COLUMN", "x", "bytes", "SHAPES", "1", lengths, "BLOB", bytes};
  words.insert(words.end(), column.begin(), column.end());
  Send(link, {.words = std::move(words), .block_ms = ms, .write = true},
       {.promises = std::move(promises)});
}

void Worker::Read(Link& link, const std::vector<std::size_t>& rows) {
  Asked asked;
  Words words = {"KV.MGET", kKept, "KEYS", std::to_string(rows.size())};
  for (const std::size_t row : rows) {
    words.push_back(ledger_.Key(row));
    asked.promises.push_back(ledger_.Begin(row, Promise::Kind::kRead));
  }
  const Words form = {"FIELDS", "1", "x", "FORMAT", "rows"};
  words.insert(words.end(), form.begin(), form.end());
  Send(link, {.words = std::move(words)}, std::move(asked));
}

// Many of its rows in one request, several times, read late.
void Worker::ReadMuch(Link& link, Clock::time_point now) {
  std::vector<std::size_t> rows;
  for (int tries = 0; tries < 20; ++tries) {
    const auto row = ledger_.Find(plan_.Pick(1U << 20U));
    if (row && std::find(rows.begin(), rows.end(), *row) == rows.end()) {
      rows.push_back(*row);
    }
  }
  if (!rows.empty()) {
    Read(link, rows);
  }
  for (std::size_t left = plan_.Pick(5); left > 0; --left) {
    Send(link, {.words = {"KV.MGET", plan_.Name("w", kWilds), "WHERE", "1", "g", "<", "5"}});
  }
  link.ReadLaterThan(now + milliseconds(50 + plan_.Pick(500)));
}

void Worker::Transaction(Link& link) {
  if (plan_.Chance(40)) {
    Send(link, {.words = {"WATCH", plan_.Name("w", kWilds), plan_.Name("s", 20)}});
  }
  Send(link, {.words = {"MULTI"}});
  const std::size_t before = plan_.Pick(4);
  for (std::size_t i = 0; i < before; ++i) {
    Send(link, {.words = plan_.Any().words});
  }
  Asked exec;
  const auto row = ledger_.Find(plan_.Pick(1U << 20U));
  if (row && !ledger_.Retired(*row)) {
    exec.promises = {ledger_.Begin(*row, Promise::Kind::kWrite)};
    exec.exec_item = before + 1;
    Send(link, {.words = OwnWrite(*row, exec.promises.front().sequence).words});
  }
  Send(link, {.words = {"EXEC"}}, std::move(exec));
}

}  // namespace sluice::tests::chaos
