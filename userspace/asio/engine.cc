// SPDX-License-Identifier: MIT
#include "weir/asio/engine.h"

#include <utility>

namespace weir::asio {

engine::engine(net::io_context& context, runtime::EngineOptions options, const PumpOptions& pump)
    : core_(std::make_shared<detail::Core>(context, std::move(options), pump)) {}

engine::~engine() { stop(); }

engine::executor_type engine::get_executor() const noexcept { return core_->executor(); }

bool engine::attached() const { return core_->engine() != nullptr && core_->engine()->attached(); }

std::string engine::why_detached() const {
  return core_->engine() != nullptr ? core_->engine()->why_detached() : "the engine has been stopped";
}

std::string engine::interface() const {
  return core_->engine() != nullptr ? core_->engine()->interface() : std::string();
}

void engine::stop() { core_->stop(); }

engine::native_handle_type engine::native_handle() const { return core_->engine(); }

}  // namespace weir::asio
