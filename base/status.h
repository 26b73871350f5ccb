// Status and Result<T>: the error type of all functions that can fail.
//
// Status is for errors that a client or the machine can cause (bad shape, unknown partition, memory
// budget exceeded); assert() is for errors that only our own code can cause. Our code
// throws no exceptions but std::bad_alloc and its subclasses; command dispatch turns them into an
// OOM error.
//
// Thread safety: value types, no internal synchronization.
#pragma once

#include <cassert>
#include <concepts>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace sluice {

// Each code has one RESP error prefix; the mapping is the table in server/dispatch/error_reply.cc.
enum class Code : std::uint8_t {
  kOk,
  kError,        // syntax, a bad name, option or number
  kNoPartition,  // the partition does not exist
  kNoKey,
  kNoField,
  kNoTask,
  kNotReady,   // a requested cell is not written yet
  kDType,      // unknown dtype, or not the field's dtype
  kShape,      // wrong byte count, number of rows, dims or rank
  kBadTag,     // not a JSON object within the limits
  kFull,       // a partition's limit is reached
  kOom,        // maxmemory reached, or the system is out of memory
  kStale,      // the partition of this incarnation is gone; another has its name
  kWrongType,  // the name is a string but a partition is required, or the reverse
  kNoProto,    // unsupported RESP version
  kWrongPass,  // wrong user name or password
  kNoAuth,     // authentication required
  kExecAbort,  // a command of the transaction was rejected
  kDenied,     // protected mode
  kUnblocked,  // CLIENT UNBLOCK ... ERROR
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  // `message`: one line of text, lower case, names the faulty argument, no full stop.
  Status(Code code, std::string message)
      : failure_(std::make_unique<Failure>(Failure{.code = code, .message = std::move(message)})) {
    assert(code != Code::kOk);
  }
  Status(const Status& other)
      : failure_(other.ok() ? nullptr : std::make_unique<Failure>(*other.failure_)) {}
  Status(Status&& other) noexcept = default;
  Status& operator=(const Status& other) { return *this = Status(other); }
  Status& operator=(Status&& other) noexcept = default;
  ~Status() = default;

  [[nodiscard]] bool ok() const { return failure_ == nullptr; }
  [[nodiscard]] Code GetCode() const { return ok() ? Code::kOk : failure_->code; }
  // Empty when ok.
  [[nodiscard]] const std::string& Message() const {
    static const std::string kNone;
    return ok() ? kNone : failure_->message;
  }

 private:
  struct Failure {
    Code code;
    std::string message;
  };

  std::unique_ptr<Failure> failure_;  // one pointer, so that success is cheap
};

template <typename T>
class Result;

// The types besides Status that construct a Result<T>: all that convert to T.
template <typename U, typename T>
concept ValueFor = std::convertible_to<U, T> && !std::same_as<std::remove_cvref_t<U>, Status> &&
                   !std::same_as<std::remove_cvref_t<U>, Result<T>>;

// Either a T or an error Status. Both constructors are implicit, so that `return Status(...)` and
// `return value` both work.
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(Status status) : state_(std::move(status)) {  // NOLINT(google-explicit-constructor)
    assert(!std::get<Status>(state_).ok());
  }
  template <ValueFor<T> U>
  // NOLINTNEXTLINE(google-explicit-constructor,bugprone-forwarding-reference-overload)
  Result(U&& value) : state_(std::in_place_index<1>, std::forward<U>(value)) {}

  [[nodiscard]] bool ok() const { return state_.index() == 1; }
  [[nodiscard]] Status GetStatus() const { return ok() ? Status() : std::get<Status>(state_); }

  // REQUIRES: ok().
  T& operator*() & { return Checked(*this); }
  const T& operator*() const& { return Checked(*this); }
  T&& operator*() && { return std::move(Checked(*this)); }
  T* operator->() { return &Checked(*this); }
  const T* operator->() const { return &Checked(*this); }

 private:
  template <typename Self>
  static auto& Checked(Self& self) {
    assert(self.ok());
    return *std::get_if<1>(&self.state_);
  }

  std::variant<Status, T> state_;
};

}  // namespace sluice

// The project's only macros: return from the function if an expression fails.
#define SLUICE_CONCAT_INNER(a, b) a##b
#define SLUICE_CONCAT(a, b) SLUICE_CONCAT_INNER(a, b)
#define TRY(expr)                                       \
  do {                                                  \
    if (Status try_status = (expr); !try_status.ok()) { \
      return try_status;                                \
    }                                                   \
  } while (false)
#define TRY_ASSIGN(decl, expr) TRY_ASSIGN_IMPL(SLUICE_CONCAT(try_result_, __LINE__), decl, expr)
#define TRY_ASSIGN_IMPL(name, decl, expr) \
  auto name = (expr);                     \
  if (!name.ok()) {                       \
    return name.GetStatus();              \
  }                                       \
  decl = *std::move(name)
