#pragma once
/// The keys that one architecture, objective or task has for itself: a struct of its own (see setting.hpp), held by
/// those who need not know which. A value: copies are copies of the struct.

#include <memory>
#include <span>
#include <stdexcept>
#include <string_view>
#include <utility>
#include <vector>

#include "blocks/setting.hpp"

namespace blocktrain::blocks {

class Options {
 public:
  /// None: no keys.
  Options() = default;

  /// Those of a struct with describe(std::vector<Setting>&), operator== and, where values can conflict,
  /// check(std::span<const Setting>, std::vector<Conflict>&) const.
  template <class T>
  static Options of(T value) {
    Options options;
    options.held_ = std::make_unique<Held<T>>(std::move(value));
    return options;
  }

  Options(const Options& other) : held_(other.held_ ? other.held_->copy() : nullptr) {}
  Options(Options&&) noexcept = default;
  Options& operator=(Options other) noexcept {
    held_ = std::move(other.held_);
    return *this;
  }
  ~Options() = default;

  /// The struct. Throws std::logic_error where it is another one.
  template <class T>
  T& as() {
    auto* held = dynamic_cast<Held<T>*>(held_.get());
    if (held == nullptr) throw std::logic_error("options of another kind");
    return held->value;
  }
  template <class T>
  const T& as() const {
    return const_cast<Options*>(this)->as<T>();
  }

  void describe(std::vector<Setting>& out) {
    if (held_) held_->describe(out);
  }
  void check(std::span<const Setting> all, std::vector<Conflict>& out) const {
    if (held_) held_->check(all, out);
  }
  bool operator==(const Options& other) const {
    return held_ && other.held_ ? held_->equals(*other.held_) : !held_ && !other.held_;
  }

 private:
  struct Holder {
    virtual ~Holder() = default;
    virtual std::unique_ptr<Holder> copy() const = 0;
    virtual void describe(std::vector<Setting>& out) = 0;
    virtual void check(std::span<const Setting> all, std::vector<Conflict>& out) const = 0;
    virtual bool equals(const Holder& other) const = 0;
  };
  template <class T>
  struct Held final : Holder {
    explicit Held(T v) : value(std::move(v)) {}
    std::unique_ptr<Holder> copy() const override { return std::make_unique<Held>(value); }
    void describe(std::vector<Setting>& out) override { value.describe(out); }
    void check(std::span<const Setting> all, std::vector<Conflict>& out) const override {
      if constexpr (requires { value.check(all, out); }) value.check(all, out);
    }
    bool equals(const Holder& other) const override {
      const auto* same = dynamic_cast<const Held*>(&other);
      return same != nullptr && value == same->value;
    }
    T value;
  };

  std::unique_ptr<Holder> held_;
};

/// A struct of options at its defaults, as entries of lists name it.
template <class T>
Options options_of() {
  return Options::of(T{});
}

/// No keys.
inline Options no_options() { return {}; }

/// The entry of a list (of architectures, objectives, tasks) that has this name; null where none has.
template <class Entry>
const Entry* entry_named(std::span<const Entry> list, std::string_view name) {
  for (const Entry& entry : list) {
    if (entry.name == name) return &entry;
  }
  return nullptr;
}

}  // namespace blocktrain::blocks
