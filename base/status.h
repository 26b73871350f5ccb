// Status and Result<T>: how every fallible function below server/ reports failure.
//
// Status is for what a client or the machine can cause (bad shape, unknown partition, out of the
// memory budget); assert() is for what only our own code can cause. Nothing of ours throws;
// std::bad_alloc may pass through, and is turned into OOM where a command is dispatched.
//
// Thread safety: value types; share them as you would share an int.
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
  kNoPartition,  // it does not exist
  kNoKey,
  kNoField,
  kNoTask,
  kNotReady,   // a cell that was asked for is not written yet
  kDType,      // unknown, or not the field's
  kShape,      // byte count, number of rows, dims or rank do not fit
  kBadTag,     // not a JSON object within the limits
  kFull,       // a partition's limit is reached
  kOom,        // maxmemory, or the machine, said no
  kWrongType,  // a name that holds a string, or a partition where a string is wanted
  kNoProto,    // the RESP version asked for does not exist
  kWrongPass,  // a user or password that is not right
  kNoAuth,     // a password is wanted first
  kExecAbort,  // a command of the transaction was refused
  kDenied,     // protected mode
  kUnblocked,  // CLIENT UNBLOCK ... ERROR
};

class [[nodiscard]] Status {
 public:
  Status() = default;
  // `message`: one line for people, lower case, names the culprit, no full stop.
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

  std::unique_ptr<Failure> failure_;  // one word, so that success costs next to nothing
};

template <typename T>
class Result;

// What a Result<T> may be built from besides a Status: anything that converts to T.
template <typename U, typename T>
concept ValueFor = std::convertible_to<U, T> && !std::same_as<std::remove_cvref_t<U>, Status> &&
                   !std::same_as<std::remove_cvref_t<U>, Result<T>>;

// A T, or the Status that explains why there is none. Both constructors are implicit so that
// `return Status(...)` and `return value` read alike.
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

// The only macros of the project: leave the function when an expression fails.
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
