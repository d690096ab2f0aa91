# Builds libmtmd.so from llama.cpp's source: SOURCE is its folder, LIBRARIES the folder of
# the libllama and libggml that it is linked to and will lie beside.
MTMD := $(SOURCE)/tools/mtmd
HASH := $(SOURCE)/vendor/hash
NO_PARTS := %/mtmd-cli.cpp %/deprecation-warning.cpp
SOURCES := $(filter-out $(NO_PARTS),$(wildcard $(MTMD)/*.cpp)) $(wildcard $(MTMD)/models/*.cpp) \
	$(wildcard $(HASH)/*.cpp)
C_SOURCES := $(wildcard $(HASH)/*/*.c)
OBJECTS := $(patsubst $(SOURCE)/%.cpp,objects/%.o,$(SOURCES)) \
	$(patsubst $(SOURCE)/%.c,objects/%.o,$(C_SOURCES))
INCLUDES := $(MTMD) $(SOURCE)/include $(SOURCE)/ggml/include $(SOURCE)/vendor $(HASH)
# ggml computes; this is what prepares its work. Without MTMD_VIDEO it starts no ffmpeg.
FLAGS := -O2 -DNDEBUG -fPIC -w -DLLAMA_SHARED -DLLAMA_BUILD -DGGML_SHARED $(addprefix -I,$(INCLUDES))
NEEDED := libllama libggml libggml-base

libmtmd.so: $(OBJECTS)
	$(CXX) -shared -Wl,--no-undefined -o $@ $^ -L$(LIBRARIES) $(addprefix -l:,$(addsuffix .so,$(NEEDED))) \
		-Wl,-rpath,'$$ORIGIN' -Wl,-rpath-link,$(LIBRARIES) -lpthread

objects/%.o: $(SOURCE)/%.cpp
	@mkdir -p $(@D)
	$(CXX) -std=c++17 $(FLAGS) -c $< -o $@

objects/%.o: $(SOURCE)/%.c
	@mkdir -p $(@D)
	$(CC) $(FLAGS) -c $< -o $@

# It is in a namespace, as in llama.cpp's own build.
objects/vendor/hash/sha1/sha1.o: CC := $(CXX) -x c++
