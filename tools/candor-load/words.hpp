/// The word lists that generated events are made of. Everything here was written for this purpose;
/// no text of a real person is among it.
#pragma once

#include <array>
#include <string_view>

namespace candor::load {

/// What people ask about, by topic (a slug of storage/model/topic.def).
struct subject {
  std::string_view topic;
  std::array<std::string_view, 6> things;
};

inline constexpr subject subjects[] = {
    {"automotive",
     {"winter tyres", "an electric car", "a used van", "the oil change of my car", "a roof rack",
      "motorcycle helmets"}},
    {"books",
     {"a detective novel", "science fiction novels", "an audiobook for the train", "a book club",
      "a paperback for the beach", "short stories by new authors"}},
    {"careers",
     {"a cover letter", "questions in a job interview", "my resume", "remote jobs",
      "a promotion at work", "a career change"}},
    {"fitness",
     {"a workout plan", "yoga for beginners", "push-ups", "a gym membership",
      "kettlebell exercises", "stretching before a run"}},
    {"food_drink",
     {"a lasagne recipe", "sourdough bread", "espresso at home", "a curry for six guests",
      "pancakes without eggs", "a chocolate cake recipe"}},
    {"gaming",
     {"a new gaming console", "board games for four", "a puzzle video game", "a game controller",
      "role-playing games", "strategy video games"}},
    {"home_garden",
     {"tomato plants on a balcony", "a bookshelf for the living room", "lawn care",
      "wallpaper for the kitchen", "a garden shed", "curtains for large windows"}},
    {"movies_tv",
     {"a heist movie", "a television series about chefs", "a documentary film", "old westerns",
      "an animated movie", "a comedy series"}},
    {"music",
     {"guitar chords", "a piano keyboard", "jazz albums", "a playlist for a road trip",
      "concert tickets", "a turntable for vinyl records"}},
    {"outdoors",
     {"hiking boots", "a tent for two", "a trail map", "a sleeping bag", "kayaking on a lake",
      "a camping stove"}},
    {"pets",
     {"a puppy", "a scratching post for my cat", "dog food", "an aquarium", "a leash for my dog",
      "toys for a parrot"}},
    {"arts_photo",
     {"a camera lens", "watercolour painting", "portrait photography", "an easel",
      "a tripod for my camera", "a pottery class"}},
    {"sports",
     {"a tennis racket", "football scores", "a basketball hoop", "ski slopes", "table tennis",
      "a cycling race"}},
    {"technology",
     {"a laptop", "noise-cancelling headphones", "a password manager", "a smart watch",
      "a faster router", "learning Python programming"}},
    {"travel",
     {"a weekend in Lisbon", "cheap flights", "a hotel by the sea", "a train trip through Norway",
      "a travel adapter", "packing a suitcase"}},
    {"weather",
     {"the weather on Saturday", "the forecast for rain", "tomorrow's temperature",
      "thunderstorms this week", "snow in the mountains", "the wind at the coast"}},
};

/// "{}" is the thing.
inline constexpr std::string_view questions[] = {
    "what should I know about {}?",
    "can you give me three ideas about {}",
    "I have been thinking about {} lately, where do I begin?",
    "compare the best options for {} please",
    "how much should {} cost?",
    "my neighbour told me about {}, is it worth it?",
    "help me plan {} for next month",
    "what do people like most about {}?",
};

/// What must be withheld.
inline constexpr std::string_view sensitive_questions[] = {
    "what should I eat now that I have diabetes?",
    "my doctor prescribed antidepressants, what are the side effects?",
    "where is the nearest mosque for Friday prayer?",
    "which church has a mass on Sunday evening?",
    "who should I vote for in the election?",
    "how do I come out as gay to my parents?",
    "can I get a loan after bankruptcy?",
    "I was diagnosed with cancer last week",
    "how do I join a trade union at work?",
    "does my criminal record show when I apply?",
};

} // namespace candor::load
