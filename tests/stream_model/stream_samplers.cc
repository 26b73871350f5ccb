#include "tests/stream_model/stream_samplers.h"

#include <algorithm>
#include <utility>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace sluice::tests {
namespace {

struct Part {
  double sum = 0;
  std::vector<std::size_t> positions;
};

using Parts = std::vector<Part>;  // from the heaviest to the lightest

double Spread(const Parts& parts) {
  return parts.front().sum - parts.back().sum;
}

// Returns the one of the largest spread; among equals, the one that began with the heaviest.
std::size_t MostUneven(const std::vector<Parts>& deals) {
  std::size_t most = 0;
  for (std::size_t i = 1; i < deals.size(); ++i) {
    most = Spread(deals[i]) > Spread(deals[most]) ? i : most;
  }
  return most;
}

}  // namespace

std::vector<std::vector<std::size_t>> Deal(const std::vector<double>& weights, std::size_t parts) {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    order.push_back(i);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&weights](std::size_t a, std::size_t b) { return weights[a] > weights[b]; });
  std::vector<Parts> deals;
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (i % parts == 0) {
      deals.emplace_back();
    }
    deals.back().push_back({weights[order[i]], {order[i]}});
  }
  while (deals.size() > 1) {
    const std::size_t first = MostUneven(deals);
    const Parts other = deals[first];
    deals.erase(deals.begin() + static_cast<std::ptrdiff_t>(first));
    Parts& joined = deals[MostUneven(deals)];
    for (std::size_t i = 0; i < parts; ++i) {
      const Part& added = other[parts - 1 - i];  // the lightest to the heaviest
      joined[i].sum += added.sum;
      joined[i].positions.insert(joined[i].positions.end(), added.positions.begin(),
                                 added.positions.end());
    }
    std::stable_sort(joined.begin(), joined.end(),
                     [](const Part& a, const Part& b) { return a.sum > b.sum; });
  }
  std::vector<std::vector<std::size_t>> dealt;
  for (Part& part : deals.at(0)) {
    std::sort(part.positions.begin(), part.positions.end());
    dealt.push_back(part.positions);
  }
  return dealt;
}

double WeightOf(const StreamRow& row, const std::string& member) {
  const boost::json::value* const value = row.tag.if_contains(member);
  return value != nullptr && value->is_number() ? std::max(0.0, value->to_number<double>()) : 0;
}

std::vector<Indexes> WholeGroups(const StreamPartition& partition, const SamplerSpec& sampler) {
  const std::size_t size = sampler.size;
  std::vector<Indexes> whole;
  if (sampler.by.empty()) {
    for (Index first = 0; first < partition.made; first += static_cast<Index>(size)) {
      Indexes group;
      for (Index row = first; row < first + static_cast<Index>(size); ++row) {
        if (partition.rows.count(row) != 0) {
          group.push_back(row);
        }
      }
      if (group.size() == size) {
        whole.push_back(group);
      }
    }
    return whole;
  }
  std::map<std::string, Indexes> open;
  for (const auto& [index, row] : partition.rows) {
    if (const boost::json::value* const member = row.tag.if_contains(sampler.by)) {
      Indexes& group = open[boost::json::serialize(*member)];
      group.push_back(index);
      if (group.size() == size) {
        whole.push_back(group);
        group.clear();
      }
    }
  }
  std::sort(whole.begin(), whole.end());
  return whole;
}

std::vector<Indexes> Offer(const StreamPartition& partition, const FetchRequest& request) {
  const SamplerSpec& sampler = request.sampler;
  const auto task = partition.tasks.find(request.task);
  const auto can_be_taken = [&](Index index) {
    const StreamRow& row = partition.rows.at(index);
    return row.Ready(request.fields) && Fits(row.tag, request.where) &&
           (task == partition.tasks.end() || task->second.Free(index)) &&
           (sampler.name != "priority" || WeightOf(row, sampler.weight) > 0);
  };
  std::vector<Indexes> groups;
  if (sampler.Grouped()) {
    groups = WholeGroups(partition, sampler);
  } else {
    for (const auto& [index, row] : partition.rows) {
      groups.push_back({index});
    }
  }
  std::erase_if(groups, [&can_be_taken](const Indexes& group) {
    return !std::all_of(group.begin(), group.end(), can_be_taken);
  });
  if (sampler.name == "lifo") {
    std::reverse(groups.begin(), groups.end());
  }
  return groups;
}

std::size_t Filled::Fewest() const {
  std::size_t fewest = shares.at(0).size();
  for (const Indexes& share : shares) {
    fewest = std::min(fewest, share.size());
  }
  return fewest;
}

Filled Fill(const StreamPartition& partition, const FetchRequest& request,
            const std::vector<Indexes>& offer) {
  const SamplerSpec& sampler = request.sampler;
  const auto weight = [&](const Indexes& rows) {
    double sum = 0;
    for (const Index row : rows) {
      sum += WeightOf(partition.rows.at(row), sampler.weight);
    }
    return sum;
  };
  const auto tokens = static_cast<double>(sampler.tokens);
  const auto is_full = [&](const Indexes& share, const Indexes* next) {
    return weight(share) >= tokens || share.size() + sampler.size > request.count ||
           (next != nullptr && !share.empty() && weight(share) + weight(*next) > tokens);
  };
  Filled filled{.shares = std::vector<Indexes>(sampler.ranks)};
  std::size_t next = 0;
  std::size_t full = 0;
  for (Indexes& share : filled.shares) {
    const auto group = [&] { return next < offer.size() ? &offer[next] : nullptr; };
    while (group() != nullptr && !is_full(share, group())) {
      share.insert(share.end(), group()->begin(), group()->end());
      ++next;
    }
    full += is_full(share, group()) ? 1 : 0;
  }
  filled.full = full == sampler.ranks;
  if (filled.full || sampler.ranks == 1) {
    return filled;
  }
  filled.shares.assign(sampler.ranks, {});
  for (const Indexes& group : offer) {
    Indexes* lightest = nullptr;
    for (Indexes& share : filled.shares) {
      const bool lighter = lightest == nullptr || weight(share) < weight(*lightest) ||
                           (weight(share) == weight(*lightest) && share.size() < lightest->size());
      if (share.size() + sampler.size <= request.count && lighter) {
        lightest = &share;
      }
    }
    if (lightest == nullptr || (!lightest->empty() && weight(*lightest) + weight(group) > tokens)) {
      break;
    }
    lightest->insert(lightest->end(), group.begin(), group.end());
  }
  return filled;
}

}  // namespace sluice::tests
