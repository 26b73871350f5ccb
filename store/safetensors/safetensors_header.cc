#include "store/safetensors/safetensors_header.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include <boost/json/basic_parser_impl.hpp>
#include <fmt/format.h>

#include "base/ids.h"
#include "store/safetensors/safetensors_dtype.h"
#include "store/tags/json_text.h"
#include "store/tensor/shape.h"

namespace sluice::store {
namespace {

namespace json = boost::json;

constexpr std::size_t kHeaderDepthMax = 8;  // the format needs 3; unknown members may nest
constexpr std::size_t kWordBytesMax = 64;   // longer than any dtype name
constexpr std::size_t kShapeDimsMax = kRankMax + 1;

// Members of a tensor's object, as bits of a set.
enum Member : unsigned { kOther = 0, kDTypeMember = 1, kShapeMember = 2, kOffsetsMember = 4 };
struct MemberName {
  std::string_view name;
  Member member;
};
constexpr std::array<MemberName, 3> kMembers = {{
    {"dtype", kDTypeMember},
    {"shape", kShapeMember},
    {"data_offsets", kOffsetsMember},
}};

// Builds the layout while parsing. A tree of values would be many times the size of the header and
// would hide duplicate names.
//
//   depth 1  { name: ...      depth 2  { member: ...      depth 3  [ a number ...
class HeaderVisitor : public JsonVisitor {
 public:
  SafetensorsLayout layout;
  std::optional<Status> failure;

  // NOLINTBEGIN(readability-identifier-naming): Boost.JSON's names
  bool on_object_begin(Error& error) {
    if (!Accept(Kind::kObject, error)) {
      return false;
    }
    ++depth_;
    return depth_ != 2 || BeginObject(error);
  }
  bool on_object_end(std::size_t, Error& error) {
    --depth_;
    return depth_ != 1 || in_metadata_ || EndTensor(error);
  }
  bool on_array_begin(Error& error) {
    if (!Accept(Kind::kArray, error)) {
      return false;
    }
    ++depth_;
    return true;
  }
  bool on_array_end(std::size_t, Error&) {
    --depth_;
    return true;
  }
  bool on_key_part(View part, std::size_t, Error&) {
    if (depth_ <= 2) {
      key_.append(part.data(), part.size());
    }
    return true;
  }
  bool on_key(View part, std::size_t size, Error& error) {
    on_key_part(part, size, error);
    if (depth_ == 1) {
      name_ = std::move(key_);
    } else if (depth_ == 2 && in_metadata_) {
      note_ = std::move(key_);
    } else if (depth_ == 2 && !BeginMember(error)) {
      return false;
    }
    key_.clear();
    return true;
  }
  bool on_string_part(View part, std::size_t, Error&) {
    const std::size_t space = kWordBytesMax - word_.size();
    word_.append(part.data(), std::min(space, part.size()));
    return true;
  }
  bool on_string(View part, std::size_t size, Error& error) {
    on_string_part(part, size, error);
    const std::string word = std::exchange(word_, {});
    if (!Accept(Kind::kString, error)) {
      return false;
    }
    if (depth_ == 2 && in_metadata_) {
      AddNote(word);
      return true;
    }
    return depth_ != 2 || member_ != kDTypeMember || SetDType(word, error);
  }
  bool on_int64(std::int64_t value, View, Error& error) { return AddNumber(value, error); }
  bool on_uint64(std::uint64_t, View, Error& error) { return AddNumber({}, error); }
  bool on_double(double value, View, Error& error) {
    constexpr double kPastInt64 = 9223372036854775808.0;  // larger integers are parsed as doubles
    const bool too_large = value >= kPastInt64 || value <= -kPastInt64;
    return too_large ? AddNumber({}, error) : Accept(Kind::kOther, error);
  }
  bool on_bool(bool, Error& error) { return Accept(Kind::kOther, error); }
  bool on_null(Error& error) { return Accept(Kind::kOther, error); }
  // NOLINTEND(readability-identifier-naming)

 private:
  enum class Kind : std::uint8_t { kObject, kArray, kString, kInteger, kOther };

  // REQUIRES: inside a tensor's object.
  SafetensorsEntry& Tensor() { return layout.tensors.back(); }

  bool Fail(Status status, Error& error) {
    failure = std::move(status);
    error = json::make_error_code(json::error::exception);  // any: `failure` has the cause
    return false;
  }
  bool Fail(Code code, std::string_view why, Error& error) {
    return Fail(SafetensorsError(code, name_, why), error);
  }

  // Returns true if a value of this kind is allowed here.
  bool Accept(Kind kind, Error& error) {
    if (depth_ == 0) {
      return kind == Kind::kObject ||
             Fail({Code::kError, "safetensors: the header is not a JSON object"}, error);
    }
    if (depth_ == 1) {
      return kind == Kind::kObject || Fail(Code::kError, "not a JSON object", error);
    }
    if (in_metadata_ || member_ == kOther) {
      return true;
    }
    if (member_ == kDTypeMember) {
      return kind == Kind::kString || Fail(Code::kError, "dtype is not a string", error);
    }
    const std::string_view name = member_ == kShapeMember ? "shape" : "data_offsets";
    return kind == (depth_ == 2 ? Kind::kArray : Kind::kInteger) ||
           Fail(Code::kError, fmt::format("{} is not an array of integers", name), error);
  }

  bool BeginObject(Error& error) {
    in_metadata_ = name_ == "__metadata__";
    if (!in_metadata_) {
      seen_ = kOther;
      layout.tensors.push_back({.name = name_, .shape = {}});
      return true;
    }
    return !std::exchange(had_metadata_, true) ||
           Fail(Code::kError, "duplicate __metadata__", error);
  }
  bool EndTensor(Error& error) {
    for (const MemberName& row : kMembers) {
      if ((seen_ & row.member) == 0) {
        return Fail(Code::kError, fmt::format("missing {}", row.name), error);
      }
    }
    return offsets_ == 2 || Fail(Code::kError, "data_offsets are not two integers", error);
  }
  bool BeginMember(Error& error) {
    const auto* const row = std::find_if(kMembers.begin(), kMembers.end(),
                                         [&](const MemberName& m) { return m.name == key_; });
    member_ = row == kMembers.end() ? kOther : row->member;
    if ((seen_ & member_) != 0) {
      return Fail(Code::kError, fmt::format("duplicate {}", row->name), error);
    }
    seen_ |= member_;
    offsets_ = member_ == kOffsetsMember ? 0 : offsets_;
    return true;
  }
  void AddNote(std::string_view word) {
    if (word == "utf8" || word == "json" || word == "bytes") {
      layout.byte_strings.emplace_back(note_, *ParseDType(word));
    }
  }
  bool SetDType(std::string_view word, Error& error) {
    const std::optional<DType> dtype = ParseSafetensorsDType(word);
    if (!dtype) {
      return Fail(Code::kDType, fmt::format("unsupported dtype '{}'", Printable(word)), error);
    }
    Tensor().dtype = *dtype;
    return true;
  }
  // nullopt: out of range.
  bool AddNumber(std::optional<std::int64_t> value, Error& error) {
    if (!Accept(Kind::kInteger, error)) {
      return false;
    }
    if (in_metadata_ || member_ == kOther) {
      return true;
    }
    if (!value) {
      return Fail(Code::kShape, "a number exceeds 2^63-1", error);
    }
    if (member_ == kOffsetsMember) {
      (offsets_ == 0 ? Tensor().begin : Tensor().end) = *value;
      ++offsets_;
      return true;
    }
    if (Tensor().shape.size() == kShapeDimsMax) {
      return Fail(Code::kShape, fmt::format("rank is more than {}", kShapeDimsMax), error);
    }
    Tensor().shape.push_back(*value);
    return true;
  }

  std::size_t depth_ = 0;
  std::string key_;
  std::string word_;
  std::string name_;  // at depth 1
  std::string note_;  // at depth 2, in __metadata__
  bool in_metadata_ = false;
  bool had_metadata_ = false;
  Member member_ = kOther;  // at depth 2, in a tensor
  unsigned seen_ = kOther;
  std::size_t offsets_ = 0;
};

}  // namespace

Result<SafetensorsLayout> ParseSafetensorsHeader(std::string_view header) {
  json::parse_options options;
  options.max_depth = kHeaderDepthMax;
  json::basic_parser<HeaderVisitor> parser(options);
  json::error_code error;
  const std::size_t end = parser.write_some(false, header.data(), header.size(), error);
  HeaderVisitor& visitor = parser.handler();
  if (visitor.failure) {
    return *std::move(visitor.failure);
  }
  if (error || end < header.size()) {
    const std::string why = error ? error.message() : "trailing text";
    return Status(Code::kError,
                  fmt::format("safetensors: the header is not JSON: {} at byte {}", why, end));
  }
  auto& notes = visitor.layout.byte_strings;
  std::sort(notes.begin(), notes.end());
  const auto twice = std::adjacent_find(
      notes.begin(), notes.end(), [](const auto& a, const auto& b) { return a.first == b.first; });
  if (twice != notes.end()) {
    return SafetensorsError(Code::kError, twice->first, "duplicate in __metadata__");
  }
  return std::move(visitor.layout);
}

Status SafetensorsError(Code code, std::string_view tensor, std::string_view why) {
  return {code, fmt::format("tensor '{}': {}", Printable(tensor), why)};
}

}  // namespace sluice::store
