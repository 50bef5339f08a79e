// Segment: segments the liver by its name and a second object by a click, and writes both into one mask. For Java 22 and later.

import java.lang.foreign.*;
import java.lang.foreign.MemoryLayout.PathElement;
import java.lang.invoke.*;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.atomic.AtomicBoolean;
import java.util.stream.IntStream;

import static java.lang.foreign.ValueLayout.*;

public final class Segment {
    /** An object: a name, or a point (i, j, k) inside it. */
    record Prompt(String text, double[] click) {}

    /** A call of the library failed. The message names the argument, what was expected and what was found. */
    static final class SegvolException extends RuntimeException {
        static final int CANCELLED = 80;
        final int status;

        SegvolException(int status, String message) {
            super(message);
            this.status = status;
        }
    }

    static final MemoryLayout PROMPT = MemoryLayout.structLayout(JAVA_LONG.withName("size"), ADDRESS.withName("text"),
        ADDRESS.withName("points"), JAVA_LONG.withName("points_len"), ADDRESS.withName("bounding_box"), ADDRESS.withName("name"),
        JAVA_INT.withName("space"), JAVA_INT.withName("reserved"));
    static final MemoryLayout POINT = MemoryLayout.structLayout(MemoryLayout.sequenceLayout(3, JAVA_DOUBLE).withName("at"),
        JAVA_INT.withName("label"), JAVA_INT.withName("reserved"));
    static final MemoryLayout STATISTICS = MemoryLayout.structLayout(JAVA_LONG.withName("size"), JAVA_LONG.withName("voxels"),
        JAVA_DOUBLE.withName("volume_ml"), MemoryLayout.sequenceLayout(3, JAVA_LONG).withName("box_min"),
        MemoryLayout.sequenceLayout(3, JAVA_LONG).withName("box_max"));

    static final Linker LINKER = Linker.nativeLinker();
    static final SymbolLookup LIBRARY = SymbolLookup.libraryLookup(System.mapLibraryName("segvol"), Arena.global());
    static final FunctionDescriptor PROGRESS = FunctionDescriptor.of(JAVA_INT, JAVA_LONG, JAVA_LONG, ADDRESS);
    static final MethodHandle LAST_ERROR = LINKER.downcallHandle(find("segvol_last_error"), FunctionDescriptor.of(ADDRESS));

    static MemorySegment find(String name) {
        return LIBRARY.find(name).orElseThrow(() -> new UnsatisfiedLinkError(name));
    }

    /** A function that returns a status: call() throws if it is not 0. */
    record Function(MethodHandle handle) {
        Function(String name, MemoryLayout... arguments) {
            this(LINKER.downcallHandle(find(name), FunctionDescriptor.of(JAVA_INT, arguments)));
        }

        void call(Object... arguments) {
            try {
                int status = (int) handle.invokeWithArguments(arguments);
                if (status != 0) { // In the thread of the call: each thread has its own message.
                    throw new SegvolException(status, text((MemorySegment) LAST_ERROR.invokeExact()));
                }
            } catch (RuntimeException | Error error) {
                throw error;
            } catch (Throwable error) {
                throw new IllegalStateException(error);
            }
        }
    }

    static String text(MemorySegment utf8) { // A pointer from C has no length: the zero byte ends it.
        return utf8.reinterpret(Long.MAX_VALUE).getString(0);
    }

    static final Function MODEL_OPEN = new Function("segvol_model_open", ADDRESS, ADDRESS, ADDRESS);
    static final Function VOLUME_OPEN = new Function("segvol_volume_open", ADDRESS, ADDRESS);
    static final Function STUDY_NEW = new Function("segvol_study_new", ADDRESS, ADDRESS, ADDRESS, ADDRESS);
    static final Function PROMPT_INIT = new Function("segvol_prompt_init", ADDRESS, JAVA_LONG);
    static final Function SEGMENT_ALL =
        new Function("segvol_study_segment_all", ADDRESS, ADDRESS, JAVA_LONG, ADDRESS, ADDRESS, ADDRESS);
    static final Function RESULT_MASK = new Function("segvol_result_mask", ADDRESS, JAVA_LONG, ADDRESS);
    static final Function RESULT_LABEL_MAP = new Function("segvol_result_label_map", ADDRESS, ADDRESS);
    static final Function MASK_SHAPE = new Function("segvol_mask_shape", ADDRESS, ADDRESS);
    static final Function MASK_VOXELS = new Function("segvol_mask_voxels", ADDRESS, ADDRESS);
    static final Function STATISTICS_INIT = new Function("segvol_mask_statistics_init", ADDRESS, JAVA_LONG);
    static final Function MASK_STATISTICS = new Function("segvol_mask_statistics", ADDRESS, JAVA_SHORT, ADDRESS);
    static final Function MASK_SAVE = new Function("segvol_mask_save", ADDRESS, ADDRESS);

    /** Takes the handle that a function has written to `out`. The arena frees it when it is closed. */
    static MemorySegment own(MemorySegment out, String free, Arena arena) {
        MethodHandle function = LINKER.downcallHandle(find(free), FunctionDescriptor.ofVoid(ADDRESS));
        return out.get(ADDRESS, 0).reinterpret(arena, handle -> {
            try {
                function.invokeExact(handle);
            } catch (Throwable error) {
                throw new IllegalStateException(error);
            }
        });
    }

    /** Receives the progress of a call and answers whether it goes on. */
    record Progress(AtomicBoolean stop) {
        int call(long done, long total, MemorySegment userData) {
            try {
                System.out.printf("window %d of %d%n", done, total);
                return stop.get() ? 1 : 0;
            } catch (Throwable error) { // An exception that leaves a callback ends the JVM.
                return 1;
            }
        }

        MemorySegment stub(Arena arena) throws ReflectiveOperationException {
            MethodType type = MethodType.methodType(int.class, long.class, long.class, MemorySegment.class);
            return LINKER.upcallStub(MethodHandles.lookup().bind(this, "call", type), PROGRESS, arena);
        }
    }

    static MemorySegment segment(MemorySegment study, List<Prompt> prompts, AtomicBoolean stop, Arena owner)
        throws ReflectiveOperationException {
        try (Arena arena = Arena.ofConfined()) { // What only this call needs.
            MemorySegment structs = arena.allocate(PROMPT, prompts.size());
            for (int n = 0; n < prompts.size(); n++) {
                Prompt prompt = prompts.get(n);
                MemorySegment struct = structs.asSlice(n * PROMPT.byteSize(), PROMPT);
                PROMPT_INIT.call(struct, PROMPT.byteSize());
                if (prompt.text() != null) {
                    struct.set(ADDRESS, PROMPT.byteOffset(path("text")), arena.allocateFrom(prompt.text()));
                }
                if (prompt.click() != null) {
                    MemorySegment point = arena.allocate(POINT);
                    MemorySegment.copy(prompt.click(), 0, point, JAVA_DOUBLE, 0, 3);
                    point.set(JAVA_INT, POINT.byteOffset(path("label")), 1);
                    struct.set(ADDRESS, PROMPT.byteOffset(path("points")), point);
                    struct.set(JAVA_LONG, PROMPT.byteOffset(path("points_len")), 1);
                }
            }
            MemorySegment result = arena.allocate(ADDRESS);
            SEGMENT_ALL.call(study, structs, (long) prompts.size(), new Progress(stop).stub(arena), MemorySegment.NULL, result);
            return own(result, "segvol_result_free", owner);
        }
    }

    static PathElement path(String field) {
        return PathElement.groupElement(field);
    }

    public static void main(String[] args) throws Throwable {
        if (args.length != 6) {
            throw new IllegalArgumentException("usage: Segment BUNDLE SCAN I J K MASK.nii.gz");
        }
        MethodHandle version = LINKER.downcallHandle(find("segvol_abi_version"), FunctionDescriptor.of(JAVA_INT));
        if ((int) version.invokeExact() != 1) {
            throw new UnsatisfiedLinkError("libsegvol has another binary interface than this program");
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(ADDRESS);
            try {
                VOLUME_OPEN.call(arena.allocateFrom("no such scan.nii.gz"), out);
            } catch (SegvolException error) {
                System.out.println("status " + error.status + ": " + error.getMessage());
            }

            MODEL_OPEN.call(arena.allocateFrom(args[0]), MemorySegment.NULL, out);
            MemorySegment model = own(out, "segvol_model_free", arena);
            VOLUME_OPEN.call(arena.allocateFrom(args[1]), out);
            MemorySegment scan = own(out, "segvol_volume_free", arena);
            STUDY_NEW.call(model, scan, MemorySegment.NULL, out);
            MemorySegment study = own(out, "segvol_study_free", arena);
            double[] click = {Double.parseDouble(args[2]), Double.parseDouble(args[3]), Double.parseDouble(args[4])};
            List<Prompt> prompts = List.of(new Prompt("liver", null), new Prompt(null, click));

            try {
                segment(study, prompts, new AtomicBoolean(true), arena); // Stopped before it has begun, as by a button.
            } catch (SegvolException error) {
                if (error.status != SegvolException.CANCELLED) {
                    throw error;
                }
                System.out.println("status " + error.status + ": " + error.getMessage());
            }

            MemorySegment result = segment(study, prompts, new AtomicBoolean(false), arena);
            MemorySegment statistics = arena.allocate(STATISTICS);
            STATISTICS_INIT.call(statistics, STATISTICS.byteSize());
            for (int n = 0; n < prompts.size(); n++) {
                RESULT_MASK.call(result, (long) n, out);
                MASK_STATISTICS.call(own(out, "segvol_mask_free", arena), (short) 1, statistics);
                double millilitres = statistics.get(JAVA_DOUBLE, STATISTICS.byteOffset(path("volume_ml")));
                System.out.printf(Locale.ROOT, "object %d: %.2f mL%n", n + 1, millilitres);
            }

            RESULT_LABEL_MAP.call(result, out); // 1: the liver, 2: the second object.
            MemorySegment mask = own(out, "segvol_mask_free", arena);
            MemorySegment shape = arena.allocate(JAVA_LONG, 3);
            MASK_SHAPE.call(mask, shape);
            long count = shape.getAtIndex(JAVA_LONG, 0) * shape.getAtIndex(JAVA_LONG, 1) * shape.getAtIndex(JAVA_LONG, 2);
            MASK_VOXELS.call(mask, out);
            byte[] voxels = out.get(ADDRESS, 0).reinterpret(count).toArray(JAVA_BYTE); // A copy: i fastest, then j, then k.
            System.out.println(IntStream.range(0, voxels.length).filter(at -> voxels[at] != 0).count() + " voxels are in the mask");
            MASK_SAVE.call(mask, arena.allocateFrom(args[5]));
        }
    }
}
