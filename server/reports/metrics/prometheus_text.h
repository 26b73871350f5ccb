// PrometheusText: writes metrics in Prometheus's text format, version 0.0.4.
//
// A family is a metric of one name: its HELP and TYPE lines, then its samples, which differ in
// their labels. Every name gets the prefix "sluice_".
//
// Thread safety: one caller at a time.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace sluice::server {

// Prometheus expects seconds. Division, not multiplication by 1e-6, makes 3989 exactly 0.003989.
constexpr double SecondsOf(std::int64_t microseconds) {
  return static_cast<double>(microseconds) / 1e6;
}

class PrometheusText {
 public:
  static constexpr std::string_view kContentType = "text/plain; version=0.0.4; charset=utf-8";

  struct Label {
    std::string_view name;
    std::string_view value;  // any UTF-8
  };
  using Labels = std::initializer_list<Label>;

  // Begin the family of the next samples. REQUIRES: `name` is new; the name of a counter ends in
  // "_total"; `help` is one line without a backslash.
  void Counter(std::string_view name, std::string_view help) { Begin(name, "counter", help); }
  void Gauge(std::string_view name, std::string_view help) { Begin(name, "gauge", help); }
  void Histogram(std::string_view name, std::string_view help) { Begin(name, "histogram", help); }

  // Appends a sample of a counter or gauge. REQUIRES: the labels are new in this family.
  void Sample(Labels labels, std::int64_t value);
  void Sample(Labels labels, double value);

  // The sample of a histogram.
  struct Distribution {
    std::span<const double> bounds;        // upper bounds, ascending
    std::span<const std::int64_t> counts;  // one per bound; further counts belong to +Inf
    double sum = 0;
  };
  void Sample(Labels labels, const Distribution& distribution);

  // Returns the whole text and leaves this object empty.
  std::string Take();

 private:
  void Begin(std::string_view name, std::string_view type, std::string_view help);
  template <typename Value>
  void Line(std::string_view suffix, Labels labels, const Label* last, Value value);
  void Append(const Label& label);

  std::string family_;
  fmt::memory_buffer text_;
};

}  // namespace sluice::server
