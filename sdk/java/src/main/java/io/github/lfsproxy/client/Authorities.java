package io.github.lfsproxy.client;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.InvalidPathException;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.Certificate;
import java.security.cert.CertificateException;
import java.security.cert.CertificateFactory;
import java.util.Collection;
import javax.net.ssl.SSLContext;
import javax.net.ssl.TrustManagerFactory;

/** Whom to trust, by a file of PEM certificates. */
final class Authorities {
  private Authorities() {}

  /**
   * TLS that trusts those of the file, and nobody else.
   *
   * @param name the option or variable, for the error
   * @throws IllegalArgumentException where the file cannot be used
   */
  static SSLContext tls(String name, String file) {
    try {
      KeyStore trusted = KeyStore.getInstance(KeyStore.getDefaultType());
      trusted.load(null, null);
      int number = 0;
      for (Certificate certificate : certificates(file)) {
        trusted.setCertificateEntry("ca" + number++, certificate);
      }
      TrustManagerFactory trust =
          TrustManagerFactory.getInstance(TrustManagerFactory.getDefaultAlgorithm());
      trust.init(trusted);
      SSLContext tls = SSLContext.getInstance("TLS");
      tls.init(null, trust.getTrustManagers(), null);
      return tls;
    } catch (GeneralSecurityException | IOException | InvalidPathException error) {
      throw new IllegalArgumentException(
          String.format("%s is %s: not usable as PEM certificates (%s)", name, file, error), error);
    }
  }

  private static Collection<? extends Certificate> certificates(String file)
      throws IOException, CertificateException {
    try (InputStream in = Files.newInputStream(Path.of(file))) {
      Collection<? extends Certificate> found =
          CertificateFactory.getInstance("X.509").generateCertificates(in);
      if (found.isEmpty()) {
        throw new CertificateException("the file has none");
      }
      return found;
    }
  }
}
