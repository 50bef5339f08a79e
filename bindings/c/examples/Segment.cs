// Segment: segments the liver by its name and a second object by a click, and writes both into one mask. For .NET 8 and later.

using System;
using System.Globalization;
using System.Linq;
using System.Runtime.InteropServices;
using System.Threading;

if (args.Length != 6) throw new ArgumentException("usage: Segment BUNDLE SCAN I J K MASK.nii.gz");
if (Native.segvol_abi_version() != 1) throw new DllNotFoundException("libsegvol has another binary interface than this program");
Native.Check(Native.segvol_log_set(3, Native.Log, IntPtr.Zero)); // 3: decisions, warnings and errors.

try
{
    Native.Check(Native.segvol_volume_open("no such scan.nii.gz", out _));
}
catch (SegvolException error)
{
    Console.WriteLine($"{error.Name}: {error.Message}");
}

Native.Check(Native.segvol_model_open(args[0], IntPtr.Zero, out var openedModel));
using var model = openedModel;
Native.Check(Native.segvol_volume_open(args[1], out var openedScan));
using var scan = openedScan;
Native.Check(Native.segvol_study_new(model, scan, IntPtr.Zero, out var newStudy));
using var study = newStudy;
var click = args[2..5].Select(number => double.Parse(number, CultureInfo.InvariantCulture)).ToArray();
Prompt[] prompts = [new("liver", null), new(null, click)];

try
{
    // Stopped before it has begun, as by a button.
    using var none = Segvol.Segment(study, prompts, new CancellationToken(canceled: true));
}
catch (SegvolException error) when (error.Status == SegvolException.Cancelled)
{
    Console.WriteLine($"{error.Name}: {error.Message}");
}

using var result = Segvol.Segment(study, prompts, CancellationToken.None);
for (nuint index = 0; index < (nuint)prompts.Length; index++)
{
    Native.Check(Native.segvol_result_mask(result, index, out var one));
    using (one)
    {
        Native.Check(Native.segvol_mask_statistics_init(out var measured, (nuint)Marshal.SizeOf<SegvolMaskStatistics>()));
        Native.Check(Native.segvol_mask_statistics(one, 1, ref measured));
        Console.WriteLine(FormattableString.Invariant($"object {index + 1}: {measured.VolumeMl:F2} mL"));
    }
}

Native.Check(Native.segvol_result_label_map(result, out var mask)); // 1: the liver, 2: the second object.
using (mask)
{
    var shape = new nuint[3];
    Native.Check(Native.segvol_mask_shape(mask, shape));
    var voxels = new byte[checked(shape[0] * shape[1] * shape[2])]; // i fastest, then j, then k.
    Native.Check(Native.segvol_mask_copy(mask, voxels, (nuint)voxels.Length, IntPtr.Zero));
    Console.WriteLine($"{voxels.Count(label => label != 0)} voxels are in the mask");
    Native.Check(Native.segvol_mask_save(mask, args[5]));
}

/// <summary>An object: a name, or a point (i, j, k) inside it.</summary>
record Prompt(string? Text, double[]? Click);

/// <summary>A call of the library failed. The message names the argument, what was expected and what was found.</summary>
sealed class SegvolException(int status, string message) : Exception(message)
{
    public const int Cancelled = 80;
    public int Status => status;
    public string Name => Marshal.PtrToStringUTF8(Native.segvol_status_name(status))!;
}

/// <summary>What the library owns until Dispose() frees it.</summary>
abstract class Handle(Action<IntPtr> free) : SafeHandle(IntPtr.Zero, ownsHandle: true)
{
    public override bool IsInvalid => handle == IntPtr.Zero;
    protected override bool ReleaseHandle()
    {
        free(handle);
        return true;
    }
}
sealed class Model() : Handle(Native.segvol_model_free);
sealed class Volume() : Handle(Native.segvol_volume_free);
sealed class Study() : Handle(Native.segvol_study_free);
sealed class Result() : Handle(Native.segvol_result_free);
sealed class Mask() : Handle(Native.segvol_mask_free);

static class Segvol
{
    public static Result Segment(Study study, Prompt[] prompts, CancellationToken stop)
    {
        var structs = new SegvolPrompt[prompts.Length];
        var clicks = new SegvolPoint[prompts.Length];
        var pinned = GCHandle.Alloc(clicks, GCHandleType.Pinned);
        Exception? thrown = null;
        int Progress(nuint done, nuint total, IntPtr userData)
        {
            try
            {
                Console.WriteLine($"window {done} of {total}");
                return stop.IsCancellationRequested ? 1 : 0;
            }
            catch (Exception error) // None may leave a callback.
            {
                thrown = error;
                return 1;
            }
        }
        try
        {
            for (var n = 0; n < prompts.Length; n++)
            {
                Native.Check(Native.segvol_prompt_init(out structs[n], (nuint)Marshal.SizeOf<SegvolPrompt>()));
                structs[n].Text = Marshal.StringToCoTaskMemUTF8(prompts[n].Text); // NULL for null.
                if (prompts[n].Click is { } at)
                {
                    clicks[n] = new SegvolPoint { I = at[0], J = at[1], K = at[2], Label = 1 };
                    structs[n].Points = Marshal.UnsafeAddrOfPinnedArrayElement(clicks, n);
                    structs[n].PointsLen = 1;
                }
            }
            var status = Native.segvol_study_segment_all(study, structs, (nuint)structs.Length, Progress, IntPtr.Zero, out var result);
            if (thrown != null) throw thrown;
            Native.Check(status);
            return result;
        }
        finally
        {
            pinned.Free();
            foreach (var prompt in structs) Marshal.FreeCoTaskMem(prompt.Text);
        }
    }
}

[StructLayout(LayoutKind.Sequential)]
struct SegvolPrompt
{
    public nuint Size;
    public IntPtr Text, Points;
    public nuint PointsLen;
    public IntPtr BoundingBox, Name;
    public int Space, Reserved;
}

[StructLayout(LayoutKind.Sequential)]
struct SegvolPoint { public double I, J, K; public int Label, Reserved; }

[StructLayout(LayoutKind.Sequential)]
struct SegvolMaskStatistics
{
    public nuint Size;
    public ulong Voxels;
    public double VolumeMl;
    public nuint MinI, MinJ, MinK, MaxI, MaxJ, MaxK;
}

static class Native
{
    public delegate int ProgressCallback(nuint done, nuint total, IntPtr userData);
    public delegate void LogCallback(int level, IntPtr message, IntPtr userData);

    // The library keeps this pointer, so a static field keeps the delegate.
    public static readonly LogCallback Log = (_, message, _) => Console.Error.WriteLine(Marshal.PtrToStringUTF8(message));

    /// <summary>Throws if a call failed. Call it in the thread of the call: each thread has its own message.</summary>
    public static void Check(int status)
    {
        if (status != 0) throw new SegvolException(status, Marshal.PtrToStringUTF8(segvol_last_error())!);
    }

    const string Library = "segvol"; // libsegvol.so, segvol.dll, libsegvol.dylib
    const UnmanagedType Utf8 = UnmanagedType.LPUTF8Str;

    [DllImport(Library)] public static extern uint segvol_abi_version();
    [DllImport(Library)] public static extern IntPtr segvol_last_error();
    [DllImport(Library)] public static extern IntPtr segvol_status_name(int status);
    [DllImport(Library)] public static extern int segvol_log_set(int level, LogCallback? log, IntPtr userData);
    [DllImport(Library)] public static extern int segvol_model_open([MarshalAs(Utf8)] string bundle, IntPtr options, out Model model);
    [DllImport(Library)] public static extern void segvol_model_free(IntPtr model);
    [DllImport(Library)] public static extern int segvol_volume_open([MarshalAs(Utf8)] string path, out Volume volume);
    [DllImport(Library)] public static extern void segvol_volume_free(IntPtr volume);
    [DllImport(Library)] public static extern int segvol_study_new(Model model, Volume volume, IntPtr options, out Study study);
    [DllImport(Library)] public static extern void segvol_study_free(IntPtr study);
    [DllImport(Library)] public static extern int segvol_prompt_init(out SegvolPrompt prompt, nuint size);
    [DllImport(Library)] public static extern int segvol_study_segment_all(Study study, [In] SegvolPrompt[] prompts, nuint len,
        ProgressCallback? progress, IntPtr userData, out Result result);
    [DllImport(Library)] public static extern int segvol_result_mask(Result result, nuint index, out Mask mask);
    [DllImport(Library)] public static extern int segvol_result_label_map(Result result, out Mask mask);
    [DllImport(Library)] public static extern void segvol_result_free(IntPtr result);
    [DllImport(Library)] public static extern int segvol_mask_shape(Mask mask, [Out] nuint[] shape);
    [DllImport(Library)] public static extern int segvol_mask_copy(Mask mask, [Out] byte[] voxels, nuint len, IntPtr strides);
    [DllImport(Library)] public static extern int segvol_mask_statistics_init(out SegvolMaskStatistics statistics, nuint size);
    [DllImport(Library)] public static extern int segvol_mask_statistics(Mask mask, ushort label, ref SegvolMaskStatistics statistics);
    [DllImport(Library)] public static extern int segvol_mask_save(Mask mask, [MarshalAs(Utf8)] string path);
    [DllImport(Library)] public static extern void segvol_mask_free(IntPtr mask);
}
