#include "server/config/config.h"

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <fstream>
#include <iterator>
#include <optional>
#include <sstream>
#include <utility>

#include <fmt/format.h>
#include <unistd.h>

#include "base/ascii.h"
#include "base/ids.h"
#include "resp/inline_words.h"
#include "server/arguments/arg_reader.h"

namespace sluice::server {
namespace {

using Kind = Option::Kind;

Status Bad(const Option& option, std::string_view expected, std::string_view value) {
  return Status(Code::kError,
                fmt::format("{}: expected {}, got '{}'", option.name, expected, Printable(value)));
}

std::optional<std::int64_t> UnitOf(std::string_view unit) {
  struct Row {
    std::string_view name;
    std::int64_t bytes;
  };
  constexpr Row kUnits[] = {
      {"", 1},           {"b", 1},
      {"k", 1000},       {"kb", 1024},
      {"m", 1000000},    {"mb", std::int64_t{1} << 20},
      {"g", 1000000000}, {"gb", std::int64_t{1} << 30},
  };
  for (const Row& row : kUnits) {
    if (EqualsIgnoreCase(row.name, unit)) {
      return row.bytes;
    }
  }
  return std::nullopt;
}

// "1048576", "1mb", "75%".
std::optional<std::int64_t> ParseMemory(std::string_view text) {
  std::int64_t count = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, count);
  if (error != std::errc() || count < 0) {
    return std::nullopt;
  }
  const std::string_view unit(stop, static_cast<std::size_t>(end - stop));
  if (unit == "%") {
    return count <= 100 ? std::optional(MachineMemoryBytes() / 100 * count) : std::nullopt;
  }
  const std::optional<std::int64_t> bytes = UnitOf(unit);
  std::int64_t product = 0;
  if (!bytes || __builtin_mul_overflow(count, *bytes, &product)) {
    return std::nullopt;
  }
  return product;
}

std::vector<std::string> Words(std::string_view text) {
  std::istringstream stream{std::string(text)};
  return {std::istream_iterator<std::string>(stream), {}};
}

struct LimitClass {
  std::string_view name;
  OutputLimit Config::*limit;
};
constexpr LimitClass kLimitClasses[] = {{"normal", &Config::output_normal},
                                        {"slave", &Config::output_replica},
                                        {"replica", &Config::output_replica},
                                        {"pubsub", &Config::output_pubsub}};

// "normal 0 0 0 pubsub 32mb 8mb 60", some of the classes.
std::optional<Config::Value> ParseOutputLimit(std::string_view text) {
  const std::vector<std::string> words = Words(text);
  Config::Value value;
  for (std::size_t i = 0; i < words.size(); i += 4) {
    const auto* const found =
        std::find_if(std::begin(kLimitClasses), std::end(kLimitClasses),
                     [&](const LimitClass& row) { return EqualsIgnoreCase(row.name, words[i]); });
    if (found == std::end(kLimitClasses) || words.size() - i < 4) {
      return std::nullopt;
    }
    const auto hard = ParseMemory(words[i + 1]);
    const auto soft = ParseMemory(words[i + 2]);
    std::int64_t seconds = 0;
    if (!hard || !soft || !ParseInteger(words[i + 3], seconds) || seconds < 0) {
      return std::nullopt;
    }
    value.limits.push_back(
        {.of = found->limit, .hard_bytes = *hard, .soft_bytes = *soft, .soft_seconds = seconds});
  }
  return words.empty() ? std::nullopt : std::optional(value);
}

void ApplyLimit(const Config::Value::Limit& value, OutputLimit& limit) {
  limit.hard_bytes = value.hard_bytes;
  limit.soft_bytes = value.soft_bytes;
  limit.soft_seconds = value.soft_seconds;
}

std::string Shown(const OutputLimit& limit) {
  return fmt::format("{} {} {}", limit.hard_bytes.load(), limit.soft_bytes.load(),
                     limit.soft_seconds.load());
}

Result<std::int64_t> ParseNumber(const Option& option, std::string_view value) {
  std::int64_t number = 0;
  if (!ParseInteger(value, number) || number < option.min || number > option.max) {
    return Bad(option, fmt::format("a number from {} to {}", option.min, option.max), value);
  }
  return number;
}

Result<std::int64_t> ParseBool(const Option& option, std::string_view value) {
  const bool yes = EqualsIgnoreCase(value, "yes");
  if (!yes && !EqualsIgnoreCase(value, "no")) {
    return Bad(option, "yes or no", value);
  }
  return std::int64_t{yes ? 1 : 0};
}

Result<std::int64_t> ParseBytes(const Option& option, std::string_view value) {
  const auto bytes = ParseMemory(value);
  if (!bytes) {
    return Bad(option, "a memory value (like 512mb)", value);
  }
  if (*bytes < option.min || *bytes > option.max) {
    return Bad(option, fmt::format("{} to {} bytes", option.min, option.max), value);
  }
  return *bytes;
}

Status CheckText(const Option& option, std::string_view value) {
  const bool any_bytes = option.secret;
  if (!any_bytes &&
      std::any_of(value.begin(), value.end(), [](char c) { return c >= 0 && c < ' '; })) {
    return Bad(option, "text without control characters", value);
  }
  const bool known =
      option.choices.empty() ||
      std::find(option.choices.begin(), option.choices.end(), value) != option.choices.end();
  return known ? Status()
               : Bad(option, fmt::format("one of '{}'", fmt::join(option.choices, "', '")), value);
}

std::string_view Trimmed(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r";
  const std::size_t begin = text.find_first_not_of(kBlank);
  if (begin == std::string_view::npos) {
    return {};
  }
  return text.substr(begin, text.find_last_not_of(kBlank) - begin + 1);
}

// Quotes and escapes as in an inline command. Other texts, and those of several words, are kept.
std::string Unquoted(std::string_view value) {
  std::string line(value);
  resp::InlineWords words(line);
  std::string_view word;
  std::string_view end;
  const bool one = value.starts_with('"') && words.Next(word) == resp::InlineWords::Event::kWord &&
                   words.Next(end) == resp::InlineWords::Event::kEnd;
  return std::string(one ? word : value);
}

}  // namespace

Config::Config() {
  for (const Option& option : Options()) {
    const Status status = Set(option, option.initial);
    assert(status.ok());
    static_cast<void>(status);
  }
}

Result<Config::Value> Config::Parse(const Option& option, std::string_view value) {
  Value parsed;
  switch (option.kind) {
    case Kind::kNumber: {
      TRY_ASSIGN(parsed.number, ParseNumber(option, value));
      break;
    }
    case Kind::kBool: {
      TRY_ASSIGN(parsed.number, ParseBool(option, value));
      break;
    }
    case Kind::kMemory: {
      TRY_ASSIGN(parsed.number, ParseBytes(option, value));
      break;
    }
    case Kind::kOutputLimit: {
      auto limit = ParseOutputLimit(value);
      if (!limit) {
        return Bad(option, "normal|slave|pubsub <hard> <soft> <seconds>", value);
      }
      return *std::move(limit);
    }
    case Kind::kText:
      TRY(CheckText(option, value));
      parsed.text = value;
      break;
  }
  return parsed;
}

void Config::Apply(const Option& option, Value value) noexcept {
  switch (option.kind) {
    case Kind::kText:
      this->*option.text = std::move(value.text);
      break;
    case Kind::kOutputLimit:
      for (const Value::Limit& limit : value.limits) {
        ApplyLimit(limit, this->*limit.of);
      }
      break;
    case Kind::kNumber:
    case Kind::kMemory:
    case Kind::kBool:
      this->*option.number = value.number;
      break;
  }
}

Status Config::Set(const Option& option, std::string_view value) {
  TRY_ASSIGN(Value parsed, Parse(option, value));
  Apply(option, std::move(parsed));
  return {};
}

std::string Config::Get(const Option& option) const {
  switch (option.kind) {
    case Kind::kText:
      return this->*option.text;
    case Kind::kBool:
      return this->*option.number != 0 ? "yes" : "no";
    case Kind::kOutputLimit:
      return fmt::format("normal {} slave {} pubsub {}", Shown(output_normal),
                         Shown(output_replica), Shown(output_pubsub));
    case Kind::kNumber:
    case Kind::kMemory:
      break;
  }
  return fmt::format("{}", (this->*option.number).load());
}

Config::Line Config::SplitLine(std::string_view line) {
  line = Trimmed(line);
  const std::size_t blank = line.find_first_of(" \t");
  return {.name = line.substr(0, blank),
          .value = blank == std::string_view::npos ? std::string()
                                                   : Unquoted(Trimmed(line.substr(blank)))};
}

Status Config::ReadText(std::string_view text) {
  for (int line_number = 1; !text.empty(); ++line_number) {
    const std::size_t end = text.find('\n');
    const std::string_view line = Trimmed(text.substr(0, end));
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty() || line.front() == '#') {
      continue;
    }
    const auto [name, value] = SplitLine(line);
    const Option* const option = FindOption(name);
    const Status status =
        option == nullptr
            ? Status(Code::kError, fmt::format("unknown option '{}'", Printable(name)))
            : Set(*option, value);
    if (!status.ok()) {
      return Status(Code::kError, fmt::format("line {}: {}", line_number, status.Message()));
    }
  }
  return {};
}

Status Config::ReadCommandLine(std::span<const std::string_view> args) {
  if (!args.empty() && !args.front().starts_with("--")) {
    file = std::string(args.front());
    std::ifstream stream(file);
    if (!stream) {
      return Status(Code::kError, fmt::format("can't read the configuration file '{}'", file));
    }
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    if (const Status status = ReadText(text); !status.ok()) {
      return Status(Code::kError, fmt::format("{}: {}", file, status.Message()));
    }
    args = args.subspan(1);
  }
  while (!args.empty()) {
    const std::string_view name = args.front();
    if (!name.starts_with("--")) {
      return Status(Code::kError, fmt::format("expected an option like --port, got '{}'", name));
    }
    std::string value;
    args = args.subspan(1);
    for (; !args.empty() && !args.front().starts_with("--"); args = args.subspan(1)) {
      value += value.empty() ? "" : " ";
      value += args.front();
    }
    const Option* const option = FindOption(name.substr(2));
    if (option == nullptr) {
      return Status(Code::kError, fmt::format("unknown option '{}'", name));
    }
    TRY(Set(*option, value));
  }
  return {};
}

std::int64_t MachineMemoryBytes() {
  std::int64_t bytes = std::int64_t{sysconf(_SC_PHYS_PAGES)} * sysconf(_SC_PAGE_SIZE);
  for (const char* const path :
       {"/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"}) {
    std::ifstream stream(path);
    std::int64_t limit = 0;
    if (stream >> limit && limit > 0) {
      bytes = std::min(bytes, limit);
    }
  }
  return bytes;
}

}  // namespace sluice::server
