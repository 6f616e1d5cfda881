// SPDX-License-Identifier: MIT
#include "certificate.h"

#include <openssl/evp.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <memory>
#include <stdexcept>

namespace weir::examples {

namespace {

void must(bool worked, const char* what) {
  if (!worked) throw std::runtime_error(std::string("OpenSSL: ") + what);
}

}  // namespace

void use_self_signed(boost::asio::ssl::context& tls, const std::string& name) {
  const std::unique_ptr<EVP_PKEY, decltype(&EVP_PKEY_free)> key(EVP_PKEY_Q_keygen(nullptr, nullptr, "EC", "P-256"),
                                                                EVP_PKEY_free);
  must(key != nullptr, "no P-256 key");
  const std::unique_ptr<X509, decltype(&X509_free)> certificate(X509_new(), X509_free);
  must(certificate != nullptr, "no certificate");
  X509_set_version(certificate.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate.get()), 1);
  X509_gmtime_adj(X509_getm_notBefore(certificate.get()), -60);
  X509_gmtime_adj(X509_getm_notAfter(certificate.get()), 24 * 60 * 60);
  auto* subject = X509_get_subject_name(certificate.get());
  must(X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_UTF8, reinterpret_cast<const unsigned char*>(name.data()),
                                  static_cast<int>(name.size()), -1, 0) == 1,
       "the name");
  X509_set_issuer_name(certificate.get(), subject);
  X509_set_pubkey(certificate.get(), key.get());
  const std::string alternative = "DNS:" + name;
  const std::unique_ptr<X509_EXTENSION, decltype(&X509_EXTENSION_free)> extension(
      X509V3_EXT_conf_nid(nullptr, nullptr, NID_subject_alt_name, alternative.c_str()), X509_EXTENSION_free);
  must(extension != nullptr && X509_add_ext(certificate.get(), extension.get(), -1) == 1, "the alternative name");
  must(X509_sign(certificate.get(), key.get(), EVP_sha256()) > 0, "the signature");
  must(SSL_CTX_use_certificate(tls.native_handle(), certificate.get()) == 1, "use of the certificate");
  must(SSL_CTX_use_PrivateKey(tls.native_handle(), key.get()) == 1, "use of the key");
}

void use_files(boost::asio::ssl::context& tls, const std::string& certificate_chain, const std::string& key) {
  tls.use_certificate_chain_file(certificate_chain);
  tls.use_private_key_file(key, boost::asio::ssl::context::pem);
}

}  // namespace weir::examples
