# How a folder becomes a library here, and how the floors are kept apart.
#
# Every floor has an include root of its own (a folder with one link to the floor), and a target sees
# only the roots of its own floor and of the floors that its dependencies stand on. An include that
# goes upward therefore does not compile.

add_compile_options(-Wall -Wextra -Werror)
add_compile_definitions(CANDOR_VERSION="${PROJECT_VERSION}")
# Assertions of our own (CANDOR_ASSERT) stay on in every build type.
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  # GCC 12 sees overflows in inlined std::string operations that are none (GCC bugs 105329, 105651),
  # and whether it does depends on the length of a literal, so on where the tree lies.
  add_compile_options(-Wno-array-bounds -Wno-restrict -Wno-stringop-overflow -Wno-stringop-overread)
endif()
if(CANDOR_SANITIZE)
  add_compile_options(-fsanitize=${CANDOR_SANITIZE} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${CANDOR_SANITIZE})
  if(CANDOR_SANITIZE MATCHES "undefined")
    # CAF's headers form references from null on purpose.
    add_compile_options(-fno-sanitize=null)
  endif()
  if(CANDOR_SANITIZE MATCHES "thread|address" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # GCC 12 reports false positives from inlined sanitizer checks.
    add_compile_options(-Wno-maybe-uninitialized -Wno-tsan)
  endif()
endif()

find_program(CANDOR_CCACHE ccache)
if(CANDOR_CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CANDOR_CCACHE})
endif()

foreach(floor storage cluster actors tools)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/floors/${floor})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${floor} ${CMAKE_BINARY_DIR}/floors/${floor}/${floor} SYMBOLIC)
endforeach()

# candor_library(<floor>/<room> [DEPS target...] [SYSTEM_DEPS target...])
# makes the target candor_<room> from every .cpp of the folder (subfolders not included).
function(candor_library place)
  cmake_parse_arguments(arg "" "NAME" "DEPS;PRIVATE_DEPS" ${ARGN})
  string(REGEX MATCH "^[a-z]+" floor ${place})
  get_filename_component(room ${place} NAME)
  if(arg_NAME)
    set(room ${arg_NAME})
  endif()
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${place}/*.cpp)
  set(target candor_${room})
  if(sources)
    add_library(${target} STATIC ${sources})
    target_include_directories(${target} PUBLIC ${CMAKE_BINARY_DIR}/floors/${floor})
    target_link_libraries(${target} PUBLIC ${arg_DEPS} PRIVATE ${arg_PRIVATE_DEPS})
  else()
    add_library(${target} INTERFACE)
    target_include_directories(${target} INTERFACE ${CMAKE_BINARY_DIR}/floors/${floor})
    target_link_libraries(${target} INTERFACE ${arg_DEPS} ${arg_PRIVATE_DEPS})
  endif()
endfunction()
