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

// Prometheus wants seconds. Divided, not multiplied by 1e-6: 3989 is then 0.003989.
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

  // The family that the next samples belong to. REQUIRES: `name` was not begun before; a counter's
  // ends in "_total"; `help` is one line without a backslash.
  void Counter(std::string_view name, std::string_view help) { Begin(name, "counter", help); }
  void Gauge(std::string_view name, std::string_view help) { Begin(name, "gauge", help); }
  void Histogram(std::string_view name, std::string_view help) { Begin(name, "histogram", help); }

  // Of a counter or a gauge. REQUIRES: these labels were not given in this family before.
  void Sample(Labels labels, std::int64_t value);
  void Sample(Labels labels, double value);

  // What a histogram has for some labels.
  struct Distribution {
    std::span<const double> bounds;        // upper ones, ascending
    std::span<const std::int64_t> counts;  // up to each; those behind have no bound of their own
    double sum = 0;
  };
  void Sample(Labels labels, const Distribution& distribution);

  // The whole text; nothing is left.
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
