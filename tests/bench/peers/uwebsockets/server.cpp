// A live room on uWebSockets: join, comment to everybody in the room, an answer to the sender.
// Nothing is checked and nothing is kept. PORT says where to listen, on loopback.
//
// There is no JSON library here: what a command holds is found by searching for its key, and texts
// go out as they came in, escapes and all. That is less than any real server may do, so this peer's
// figures are better than those of a room built on it would be.
#include <chrono>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>

#include "App.h"

namespace {

struct Member {
    long id = 0;
};

// Beyond it a member loses comments; the default of 64 KiB would make a burst look like a loss.
constexpr unsigned int BACKPRESSURE_BYTES_MAX = 4 * 1024 * 1024;
constexpr unsigned long FIRST_ID = 1'000'000'000'000'000'000;
unsigned long offset = 0;

long number_after(std::string_view text, std::string_view key) {
    long number = 0;
    const auto at = text.find(key);
    if (at != std::string_view::npos) {
        std::from_chars(text.data() + at + key.size(), text.data() + text.size(), number);
    }
    return number;
}

// What stands between `"text":"` and the end of the command, `"}}`.
std::string_view text_of(std::string_view command) {
    constexpr std::string_view KEY = "\"text\":\"", END = "\"}}";
    const auto at = command.find(KEY);
    if (at == std::string_view::npos || command.size() < at + KEY.size() + END.size()) {
        return {};
    }
    return command.substr(at + KEY.size(), command.size() - at - KEY.size() - END.size());
}

// The fields of liveroom's event.
std::string comment_event(long member, long live_id, std::string_view text) {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    const auto at_ms = std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
    char name[32];
    std::snprintf(name, sizeof name, "lab-user-%05ld", member);
    std::string event = R"({"event":"comment","data":{"user":{"id":)";
    event += std::to_string(member);
    event += R"(,"name":")";
    event += name;
    event += R"(","avatar":""},"content":")";
    event += text;
    event += R"(","id":")";
    event += std::to_string(FIRST_ID + offset);
    event += R"(","at":)";
    event += std::to_string(at_ms);
    event += R"(,"live_id":)";
    event += std::to_string(live_id);
    event += R"(,"epoch":"benchbenchbenchbench","offset":)";
    event += std::to_string(offset);
    event += "}}";
    return event;
}

}  // namespace

int main() {
    const char *port = std::getenv("PORT");
    uWS::App app;
    app.ws<Member>("/ws", {
        .compression = uWS::DISABLED,
        .idleTimeout = 120,
        .maxBackpressure = BACKPRESSURE_BYTES_MAX,
        .message = [&app](auto *ws, std::string_view command, uWS::OpCode) {
            const long live_id = number_after(command, "\"live_id\":");
            const std::string topic = "live/" + std::to_string(live_id);
            if (command.find("\"joinLive\"") != std::string_view::npos) {
                ws->getUserData()->id = number_after(command, "\"member\":");
                ws->subscribe(topic);
                return;
            }
            offset += 1;
            const std::string event = comment_event(ws->getUserData()->id, live_id, text_of(command));
            app.publish(topic, event, uWS::OpCode::TEXT);
            const std::string id = std::to_string(number_after(command, "\"id\":"));
            ws->send("{\"id\":" + id + ",\"ok\":true,\"offset\":" + std::to_string(offset) + "}", uWS::OpCode::TEXT);
        },
    });
    app.listen("127.0.0.1", port == nullptr ? 0 : std::atoi(port), [](auto *socket) {
        if (socket == nullptr) {
            std::fputs("cannot listen\n", stderr);
            std::exit(1);
        }
    });
    app.run();
}
