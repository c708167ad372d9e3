import java.io.File;
import java.net.URL;
import java.net.URLClassLoader;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * Runs a main class in a class loader that tells nobody its jars: HiddenPath PATH MAIN ARGS...
 *
 * <p>Beam's Flink job server uploads every jar of its own class path with each job (162 of them, 12
 * s) and ignores --files_to_stage. Where the cluster has the runner on its class path, as ours has,
 * nothing needs to be uploaded. PATH is like -cp, but a folder stands for the jars in it.
 */
public final class HiddenPath {
  private static final class Quiet extends URLClassLoader {
    Quiet(URL[] urls) {
      super("hidden", urls, ClassLoader.getPlatformClassLoader());
    }

    @Override
    public URL[] getURLs() {
      return new URL[0];
    }
  }

  private HiddenPath() {}

  public static void main(String[] arguments) throws Throwable {
    List<URL> urls = new ArrayList<>();
    for (String entry : arguments[0].split(File.pathSeparator)) {
      File[] jars = new File(entry).listFiles((folder, name) -> name.endsWith(".jar"));
      for (File jar : jars == null ? new File[] {new File(entry)} : jars) {
        urls.add(jar.toURI().toURL());
      }
    }
    ClassLoader loader = new Quiet(urls.toArray(new URL[0]));
    Thread.currentThread().setContextClassLoader(loader);
    String[] rest = Arrays.copyOfRange(arguments, 2, arguments.length);
    loader.loadClass(arguments[1]).getMethod("main", String[].class).invoke(null, (Object) rest);
  }
}
