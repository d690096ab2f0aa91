# Builds libggml-rpc-unix.so from llama.cpp's source: SOURCE is its folder, LIBRARIES the
# folder of the libggml that it is linked to and will lie beside, HERE this folder.
RPC := $(SOURCE)/ggml/src/ggml-rpc
INCLUDES := $(RPC) $(SOURCE)/ggml/src $(SOURCE)/ggml/include
FLAGS := -std=c++17 -O2 -DNDEBUG -fPIC -w -DGGML_BACKEND_SHARED -DGGML_BACKEND_BUILD -DGGML_SHARED \
	$(addprefix -I,$(INCLUDES))
NEEDED := libggml libggml-base

# Its own functions before those of a ggml that was built with RPC over TCP.
libggml-rpc-unix.so: ggml-rpc.o transport.o
	$(CXX) -shared -Wl,--no-undefined -Wl,-Bsymbolic -o $@ $^ -L$(LIBRARIES) \
		$(addprefix -l:,$(addsuffix .so,$(NEEDED))) \
		-Wl,-rpath,'$$ORIGIN' -Wl,-rpath-link,$(LIBRARIES) -lpthread

ggml-rpc.o: $(RPC)/ggml-rpc.cpp
	$(CXX) $(FLAGS) -c $< -o $@

transport.o: $(HERE)/transport.cpp
	$(CXX) $(FLAGS) -c $< -o $@
