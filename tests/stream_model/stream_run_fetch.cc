// StreamRun: checks the reply to a fetch, or to a claim, against the model.
#include <algorithm>
#include <cstdlib>

#include <boost/json/serialize.hpp>
#include <fmt/format.h>

#include "tests/stream_model/stream_run.h"

namespace sluice::tests {
namespace {

std::string Number(double number) {
  return fmt::format("{}", number);
}

// Returns tags and weights in one spelling.
Value Normal(Value reply) {
  for (std::size_t i = 0; i + 1 < reply.items.size(); i += 2) {
    for (Value& item : reply.items[i + 1].items) {
      if (reply.items[i].text == "tags") {
        item.text = Canonical(item.text);
      } else if (reply.items[i].text == "weights") {
        item.text = Number(std::strtod(item.text.c_str(), nullptr));
      }
    }
  }
  return reply;
}

}  // namespace

Indexes StreamRun::JudgeFetch(const FetchRequest& request, const Asked& asked, const Value& reply) {
  if (request.Wrong()) {
    ++counts_["fetch: wrong"];
    log_.Expect("a wrong fetch", "-ERR", Flat(reply));
    return {};
  }
  const Plan plan = model_.PlanFetch(request, asked.time_is_up);
  ++counts_["fetch: " + plan.KindName() + plan.error + (plan.known_step ? " (a known step)" : "")];
  ++counts_["sampler: " + request.sampler.name];
  if (plan.kind != Plan::Kind::kError && !asked.waited) {
    model_.NoteFetch(request);
  }
  if (plan.kind != Plan::Kind::kRows && plan.kind != Plan::Kind::kEnd) {
    const bool error =
        plan.kind == Plan::Kind::kError && ("-" + reply.text).starts_with(plan.error);
    log_.Expect("the fetch", plan.kind == Plan::Kind::kError ? plan.error : plan.KindName(),
                error ? plan.error : Flat(reply));
    return {};
  }
  const bool some = plan.kind == Plan::Kind::kRows;
  const Indexes rows = some ? CheckRows(plan, reply) : Indexes();
  Words expected = Expected(request, plan, rows);
  const std::optional<int> lease =
      some ? model_.TakeFetch(request, plan, rows, static_cast<int>(asked.client)) : std::nullopt;
  if (request.lease_ms) {
    expected.insert(expected.end(),
                    {"lease", CheckLease({request.partition, request.task}, lease, reply)});
  }
  log_.Expect("the fetch", FlatByName(expected), FlatByName(Normal(reply)));
  if (const std::string wrong = ledger_.Fetched(request, reply); !wrong.empty()) {
    log_.Fail(wrong);
  }
  if (!plan.known_step && !in_transaction_) {
    CheckFields(request, rows);
    if (request.keep && request.sampler.seed && !request.step && !asked.waited && some) {
      CheckSeed(request, rows);
    }
  }
  return request.lease_ms || request.keep ? Indexes() : rows;
}

void StreamRun::JudgeFetchAndEvict(const FetchRequest& request, const Asked& asked,
                                   const Value& reply) {
  const Indexes rows = JudgeFetch(request, asked, reply);
  if (request.format == "values" || in_transaction_) {
    EvictLater(request.partition, rows);  // other commands may run while the reply is made
  }
  model_.AutoEvict(request.partition);
}

void StreamRun::EvictLater(const std::string& name, const Indexes& rows) {
  const auto found = model_.partitions.find(name);
  if (found != model_.partitions.end()) {
    found->second.held.insert(rows.begin(), rows.end());
    to_evict_.push_back({name, found->second.number, rows});
  }
}

Indexes StreamRun::CheckRows(const Plan& plan, const Value& reply) {
  const Value* const found = Member(reply, "rows");
  if (found == nullptr) {
    log_.Fail("expected rows");
  }
  if (plan.count == 0) {
    return plan.rows;  // which are compared with the rest
  }
  Indexes rows = Unpacked(found->text);
  const std::set<Index> distinct(rows.begin(), rows.end());
  const bool allowed =
      rows.size() == plan.count && distinct.size() == plan.count &&
      std::all_of(rows.begin(), rows.end(), [&plan](Index row) {
        return std::find(plan.rows.begin(), plan.rows.end(), row) != plan.rows.end();
      });
  if (!allowed) {
    log_.Fail(fmt::format("{} of the rows {} expected", plan.count, fmt::join(plan.rows, " ")));
  }
  return rows;
}

// The same SEED draws the same rows again.
void StreamRun::CheckSeed(FetchRequest request, const Indexes& rows) {
  request.block_ms.reset();
  request.format.clear();
  const Value again = Ask(probe_, "probe", request.ToWords());
  const Value* const found = Member(again, "rows");
  log_.Expect("the same SEED", Packed(rows), found == nullptr ? Flat(again) : found->text);
  ++counts_["fetch: seed again"];
}

// The reply without the lease.
Words StreamRun::Expected(const FetchRequest& request, const Plan& plan, const Indexes& rows) {
  Words keys;
  Words tags;
  Words weights;
  for (const Index index : rows) {
    const StreamRow& row = model_.partitions.at(request.partition).rows.at(index);
    keys.push_back(row.key);
    tags.push_back(Canonical(boost::json::serialize(row.tag)));
    if (request.sampler.name == "priority") {
      weights.push_back(Number(plan.weights.at(index)));
    }
  }
  Words expected = {"rows", Packed(rows), "keys", FlatList(keys), "tags", FlatList(tags)};
  if (request.sampler.name == "priority") {
    expected.insert(expected.end(), {"weights", FlatList(weights)});
  }
  if (!request.format.empty()) {
    expected.insert(expected.end(), {"data", model_.Data(request, rows)});
  }
  if (plan.kind == Plan::Kind::kEnd) {
    expected.insert(expected.end(), {"end", "1"});
  }
  return expected;
}

// The value at "lease"; a new lease has a new id.
std::string StreamRun::CheckLease(const TaskId& of, std::optional<int> lease, const Value& reply) {
  if (!lease) {
    return "nil";
  }
  const Value* const id = Member(reply, "lease");
  if (id == nullptr || id->type != ':') {
    log_.Fail("expected the id of a lease");
  }
  StreamLease& named = model_.partitions.at(of.partition).tasks.at(of.task).leases.at(*lease);
  if (named.id.empty()) {
    if (std::find(lease_ids_.begin(), lease_ids_.end(), id->text) != lease_ids_.end()) {
      log_.Fail("the lease has the id of another lease");
    }
    lease_ids_.push_back(id->text);
    named.id = id->text;
  }
  return named.id;
}

// Asks the server for the data of the rows just fetched.
void StreamRun::CheckFields(const FetchRequest& request, const Indexes& rows) {
  Words words = {"KV.MGET", request.partition, "ROWS", Packed(rows), "FIELDS"};
  AddList(words, request.fields);
  words.insert(words.end(), {"FORMAT", "rows"});
  for (const Value& row : Ask(probe_, "probe", words).items) {
    if (row.type != '_' && row.items.size() != request.fields.size()) {
      log_.Fail("a fetched row lacks a field");
    }
  }
}

void StreamRun::JudgeClaim(std::size_t client, const ClaimRequest& request, const Value& reply) {
  Indexes rows;
  if (const std::string error = model_.PlanClaim(request, rows); !error.empty()) {
    log_.Expect("the claim", error, Flat(reply));
    return;
  }
  const std::optional<int> lease = model_.TakeClaim(request, rows, static_cast<int>(client));
  Words expected = {"rows", Packed(rows)};
  if (request.lease_ms) {
    expected.insert(expected.end(),
                    {"lease", CheckLease({request.partition, request.task}, lease, reply)});
  }
  log_.Expect("the claim", FlatList(expected), Flat(reply));
  if (const std::string wrong = ledger_.Claimed(request, reply); !wrong.empty()) {
    log_.Fail(wrong);
  }
}

}  // namespace sluice::tests
