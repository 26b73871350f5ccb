#include "tests/server/stream_samplers.h"

#include <algorithm>
#include <utility>

#include <boost/json/serialize.hpp>
#include <boost/json/value.hpp>

namespace sluice::tests {
namespace {

// One part while it is being put together: sum, then (position, weight) of what is in it.
struct Part {
  double sum = 0;
  std::vector<std::pair<std::size_t, double>> items;

  friend bool operator<(const Part& a, const Part& b) {
    if (a.sum != b.sum) {
      return a.sum < b.sum;
    }
    if (a.items.size() != b.items.size()) {
      return a.items.size() < b.items.size();
    }
    return a.items < b.items;
  }
};

using Parts = std::vector<Part>;  // from the largest to the smallest

double Spread(const Parts& parts) {
  return parts.front().sum - parts.back().sum;
}

// Which of the two is taken first: that of the larger spread, then of the larger first part.
bool Before(const Parts& a, const Parts& b) {
  return Spread(a) != Spread(b) ? Spread(a) > Spread(b) : b[0] < a[0];
}

void SortFalling(Parts& parts) {
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) { return b < a; });
}

Parts TakeFirst(std::vector<Parts>& states) {
  const auto first = std::min_element(states.begin(), states.end(), Before);
  Parts taken = *first;
  states.erase(first);
  return taken;
}

}  // namespace

std::vector<std::vector<std::size_t>> Deal(const std::vector<double>& weights, std::size_t parts) {
  std::vector<std::pair<double, std::size_t>> sorted;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    sorted.emplace_back(weights[i], i);
  }
  std::sort(sorted.begin(), sorted.end());
  std::vector<Parts> states;
  for (std::size_t begin = 0; begin < sorted.size(); begin += parts) {
    Parts state;
    for (std::size_t i = begin; i < begin + parts; ++i) {
      state.push_back({sorted[i].first, {{sorted[i].second, sorted[i].first}}});
    }
    SortFalling(state);
    states.push_back(state);
  }
  while (states.size() > 1) {
    Parts merged = TakeFirst(states);
    const Parts other = TakeFirst(states);
    for (std::size_t i = 0; i < parts; ++i) {
      const Part& added = other[parts - 1 - i];
      merged[i].sum += added.sum;
      merged[i].items.insert(merged[i].items.end(), added.items.begin(), added.items.end());
    }
    SortFalling(merged);
    states.push_back(merged);
  }
  std::vector<std::vector<std::size_t>> dealt(parts);
  for (std::size_t i = 0; i < parts; ++i) {
    for (const auto& [position, weight] : states[0][i].items) {
      dealt[i].push_back(position);
    }
    std::sort(dealt[i].begin(), dealt[i].end());
  }
  return dealt;
}

double WeightOf(const StreamRow& row, const std::string& member) {
  const boost::json::value* const value = row.tag.if_contains(member);
  return value != nullptr && value->is_number() ? value->to_number<double>() : 0;
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

}  // namespace sluice::tests
