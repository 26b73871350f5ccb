#include "server/reports/metrics/prometheus_text.h"

#include <cassert>
#include <iterator>
#include <utility>

namespace sluice::server {

void PrometheusText::Sample(Labels labels, std::int64_t value) {
  Line("", labels, nullptr, value);
}

void PrometheusText::Sample(Labels labels, double value) {
  Line("", labels, nullptr, value);
}

void PrometheusText::Sample(Labels labels, const Distribution& distribution) {
  assert(distribution.counts.size() >= distribution.bounds.size());
  std::int64_t count = 0;
  for (std::size_t i = 0; i < distribution.counts.size(); ++i) {
    count += distribution.counts[i];
    if (i < distribution.bounds.size()) {
      const std::string bound = fmt::format("{}", distribution.bounds[i]);
      const Label le = {.name = "le", .value = bound};
      Line("_bucket", labels, &le, count);
    }
  }
  const Label le = {.name = "le", .value = "+Inf"};
  Line("_bucket", labels, &le, count);
  Line("_sum", labels, nullptr, distribution.sum);
  Line("_count", labels, nullptr, count);
}

std::string PrometheusText::Take() {
  std::string text = fmt::to_string(text_);
  text_.clear();
  return text;
}

void PrometheusText::Begin(std::string_view name, std::string_view type, std::string_view help) {
  family_ = fmt::format("sluice_{}", name);
  fmt::format_to(std::back_inserter(text_), "# HELP {0} {1}\n# TYPE {0} {2}\n", family_, help,
                 type);
}

template <typename Value>
void PrometheusText::Line(std::string_view suffix, Labels labels, const Label* last, Value value) {
  text_.append(family_);
  text_.append(suffix);
  char before = '{';
  for (const Label& label : labels) {
    text_.push_back(std::exchange(before, ','));
    Append(label);
  }
  if (last != nullptr) {
    text_.push_back(std::exchange(before, ','));
    Append(*last);
  }
  fmt::format_to(std::back_inserter(text_), "{} {}\n", before == '{' ? "" : "}", value);
}

void PrometheusText::Append(const Label& label) {
  text_.append(label.name);
  text_.append(std::string_view("=\""));
  for (const char c : label.value) {
    if (c == '\n') {
      text_.append(std::string_view("\\n"));
    } else {
      if (c == '"' || c == '\\') {
        text_.push_back('\\');
      }
      text_.push_back(c);
    }
  }
  text_.push_back('"');
}

}  // namespace sluice::server
